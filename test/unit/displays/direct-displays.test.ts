// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext, createServer as createTlsServer } from "node:tls";
import type { TlsOptions } from "node:tls";
import type { SpiceEndpoint } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { ListenKind } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import type { AgentLink } from "../../../src/agents/agent-link.js";
import type { DirectDisplaysOptions } from "../../../src/displays/direct-displays.js";
import { DirectDisplays } from "../../../src/displays/direct-displays.js";
import { systemClock } from "../../../src/lib/clock.js";
import { MAX_CONNECT_ANSWER_BYTES } from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { TestAuthority } from "../../harness/certificates.js";
import { rejectionOf } from "../../harness/rejection.js";
import { until, within } from "../../harness/within.js";

const TARGET = { instanceUuid: "u", host: "h" };
const TRUST = "NODE_TLS_REJECT_UNAUTHORIZED";
const GREETING = "the display speaks first";

describe("DirectDisplays", () => {
  const authority = new TestAuthority();
  let log: FakeLog;
  let servers: Server[];
  let peers: Socket[];
  let endpoint: SpiceEndpoint;
  let asked: unknown[];
  let settings: Partial<DirectDisplaysOptions>;

  after(() => authority.remove());

  beforeEach(() => {
    log = new FakeLog();
    [servers, peers, asked] = [[], [], []];
    endpoint = nowhere();
    settings = {};
  });

  afterEach(async () => {
    for (const peer of peers) peer.destroy();
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  });

  const nowhere = (): SpiceEndpoint => ({
    host: "127.0.0.1",
    listen: ListenKind.LISTEN_KIND_ADDRESS,
    port: 0,
    tlsPort: 0,
    internalAccessPath: "",
  });

  /** Something that listens, as the display of a machine does. */
  async function listen(server: Server): Promise<number> {
    servers.push(server.on("connection", (peer: Socket) => void peers.push(peer.on("error", () => undefined))));
    await once(server.listen(0, "127.0.0.1"), "listening");
    return (server.address() as AddressInfo).port;
  }

  const speaksFirst = (peer: Socket): void => void peer.on("error", () => undefined).write(GREETING);
  const plain = (onPeer = speaksFirst): Promise<number> => listen(createServer(onPeer));
  const secure = (options: TlsOptions = authority.issue(), onPeer = speaksFirst): Promise<number> =>
    listen(createTlsServer(options, onPeer));

  function displays(): DirectDisplays {
    const link: Pick<AgentLink, "getSpiceEndpoint"> = {
      getSpiceEndpoint: (uuid, { requestId }) => {
        asked.push({ uuid, requestId });
        return Promise.resolve(endpoint);
      },
    };
    return new DirectDisplays({
      router: { require: () => link as AgentLink },
      secureContext: createSecureContext({ ca: authority.cert }),
      requireTls: false,
      subjectOf: () => undefined,
      log: log.log,
      clock: systemClock,
      ...settings,
    });
  }

  const open = async (ms = 5_000, signal = new AbortController().signal): Promise<Duplex> =>
    (await displays().open(TARGET, { ms, requestId: "r", signal })).stream;
  /** Why a display is refused, in the words for the log. */
  const refusal = async (ms?: number): Promise<ServiceError> => {
    const error = await rejectionOf(open(ms));
    if (!(error instanceof ServiceError)) throw error;
    return error;
  };

  async function reads(stream: Duplex, text: string): Promise<void> {
    let seen = "";
    stream.on("data", (bytes: Buffer) => (seen += bytes.toString()));
    await until(`${text} (seen: ${seen})`, () => seen === text);
  }

  for (const kind of ["plain", "TLS"]) {
    it(`dials where the agent says, over ${kind}, and keeps what the display says before anybody reads`, async () => {
      const received: Buffer[] = [];
      const talks = (peer: Socket): void => {
        speaksFirst(peer);
        peer.on("data", (bytes: Buffer) => void received.push(bytes));
      };
      if (kind === "plain") endpoint.port = await plain(talks);
      else endpoint.tlsPort = await secure(undefined, talks);
      const display = await open();
      expect(asked).to.deep.equal([{ uuid: "u", requestId: "r" }]);
      await until("the greeting", () => display.readableLength === GREETING.length);
      await reads(display, GREETING);
      display.write("hello");
      await until("the words", () => Buffer.concat(received).toString() === "hello");
      display.destroy();
    });

    it(`ends with the display, and the display with it, over ${kind}`, async () => {
      const held: Socket[] = [];
      const keep = (peer: Socket): void => void held.push(peer.on("error", () => undefined).resume());
      if (kind === "plain") endpoint.port = await plain(keep);
      else endpoint.tlsPort = await secure(undefined, keep);
      const [first, second] = [await open(), await open()];
      await until("both", () => held.length === 2);
      const closed = once(first.resume(), "close");
      held[0]!.end();
      await within("our end", closed);
      const gone = once(held[1]!, "close");
      second.destroy();
      await within("their end", gone);
    });
  }

  it("goes on without the agent", async () => {
    endpoint.port = await plain();
    const { stream, needsAgent } = await displays().open(TARGET, {
      ms: 5_000,
      requestId: "r",
      signal: new AbortController().signal,
    });
    expect(needsAgent).to.equal(false);
    stream.destroy();
  });

  it("takes the plain port where there is one, unless TLS is asked for", async () => {
    endpoint.port = await plain((peer) => void peer.write("plain"));
    endpoint.tlsPort = await secure(undefined, (peer) => void peer.write("secure"));
    const first = await open();
    await reads(first, "plain");
    settings = { requireTls: true };
    const second = await open();
    await reads(second, "secure");
    for (const display of [first, second]) display.destroy();
  });

  it("refuses a display that nobody can dial, before it is opened as well", async () => {
    const { LISTEN_KIND_NONE, LISTEN_KIND_SOCKET, LISTEN_KIND_ADDRESS } = ListenKind;
    for (const way of [
      { listen: LISTEN_KIND_NONE, port: 5900 },
      { listen: LISTEN_KIND_SOCKET, tlsPort: 5901 },
      { listen: LISTEN_KIND_ADDRESS },
    ]) {
      endpoint = { ...nowhere(), ...way };
      expect((await refusal()).reason, JSON.stringify(way)).to.equal("NO_NETWORK_DISPLAY");
      expect(() => displays().requireReachable("h", endpoint)).to.throw(ServiceError);
    }
    endpoint = { ...nowhere(), port: 5900 };
    displays().requireReachable("h", endpoint);
    settings = { requireTls: true };
    expect(() => displays().requireReachable("h", endpoint)).to.throw(ServiceError, "no TLS port");
  });

  it("is TARGET_REFUSED where nothing listens, and says for the log where", async () => {
    const port = await plain();
    await new Promise((resolve) => servers.splice(0)[0]!.close(resolve));
    endpoint.port = port;
    expect((await refusal()).reason).to.equal("TARGET_REFUSED");
    expect(log.at("warn")[0]).to.include({ host: "h", address: "127.0.0.1", port, instance: "u", requestId: "r" });
  });

  it("is TARGET_REFUSED at the deadline, and CANCELLED when the caller goes; the connection is closed", async () => {
    // Takes connections, but never answers the client's TLS.
    endpoint.tlsPort = await plain((peer) => void peer.on("error", () => undefined).resume());
    expect((await refusal(50)).message).to.include("in time");
    const caller = new AbortController();
    const leaving = rejectionOf(open(5_000, caller.signal));
    await until("the connection", () => peers.length === 2);
    caller.abort();
    expect(await leaving).to.have.property("reason", "CANCELLED");
    await until("their ends", () => peers.every(({ destroyed }) => destroyed));
  });

  it("leaves the display what the agent has not used of the time", async () => {
    const silent = { getSpiceEndpoint: () => rejected("AGENT_TIMEOUT") };
    settings = { router: { require: () => silent as Partial<AgentLink> as AgentLink } };
    expect((await refusal(50)).reason).to.equal("AGENT_TIMEOUT");
    const clock = new FakeClock();
    const slow: Pick<AgentLink, "getSpiceEndpoint"> = {
      getSpiceEndpoint: () => {
        clock.advance(4_000);
        return Promise.resolve(endpoint);
      },
    };
    endpoint.tlsPort = await plain((peer) => void peer.on("error", () => undefined).resume());
    settings = { router: { require: () => slow as AgentLink }, clock };
    const late = refusal(5_000);
    await until("the connection", () => peers.length === 1);
    clock.advance(1_000);
    expect((await within("the deadline", late)).reason).to.equal("TARGET_REFUSED");
  });

  describe("with TLS", () => {
    const cause = async (): Promise<string> => {
      const error = await refusal();
      expect(error.reason).to.equal("TARGET_REFUSED");
      expect(error.message).to.equal("the display's certificate is not to be trusted");
      return error.cause instanceof Error ? error.cause.message : "";
    };

    it("refuses a certificate of another authority", async () => {
      const other = new TestAuthority("/CN=Another");
      try {
        endpoint.tlsPort = await secure(other.issue());
        expect(await cause()).to.include("unable to verify");
      } finally {
        other.remove();
      }
    });

    it("refuses a certificate that has expired, and one that is signed by itself, whatever the subject", async () => {
      const other = new TestAuthority("/CN=test");
      try {
        for (const [words, certificate] of [
          ["expired", authority.expire(authority.issue())],
          ["self-signed", other.itself],
        ] as const) {
          endpoint.tlsPort = await secure(certificate);
          for (const subject of [undefined, "CN=test"]) {
            settings = { subjectOf: () => subject };
            expect(await cause()).to.include(words);
          }
        }
      } finally {
        other.remove();
      }
    });

    it("refuses them also where the environment tells Node.js to trust everybody", async () => {
      const before = process.env[TRUST];
      process.env[TRUST] = "0";
      try {
        endpoint.tlsPort = await secure(authority.issue({ names: "DNS:elsewhere" }));
        expect(await cause()).to.include("127.0.0.1");
      } finally {
        if (before === undefined) Reflect.deleteProperty(process.env, TRUST);
        else process.env[TRUST] = before;
      }
    });

    it("refuses a certificate for another address", async () => {
      endpoint.tlsPort = await secure(authority.issue({ names: "IP:127.0.0.2,DNS:localhost" }));
      expect(await cause()).to.include("127.0.0.1");
    });

    it("tells a name to the display and wants it in the certificate", async () => {
      endpoint.host = "localhost";
      const names: unknown[] = [];
      const { cert, key } = authority.issue({ names: "DNS:localhost" });
      const SNICallback: TlsOptions["SNICallback"] = (name, done) => {
        names.push(name);
        done(null);
      };
      endpoint.tlsPort = await secure({ cert, key, SNICallback });
      const display = await open();
      expect(names).to.deep.equal(["localhost"]);
      display.destroy();
    });

    it("wants the host's subject, where it has one, and not the address", async () => {
      endpoint.tlsPort = await secure(authority.issue({ subject: "/O=Example/CN=host-1", names: "DNS:elsewhere" }));
      const hosts: string[] = [];
      const subjectOf = (host: string): string => {
        hosts.push(host);
        return "O=Example,CN=host-1";
      };
      settings = { subjectOf };
      (await open()).destroy();
      expect(hosts).to.deep.equal(["h"]);
      settings = { subjectOf: () => "O=Example,CN=host-2" };
      expect(await cause()).to.include("host-1");
    });

    it("wants a trusted authority, whatever the subject", async () => {
      const other = new TestAuthority("/CN=Another");
      try {
        endpoint.tlsPort = await secure(other.issue({ subject: "/CN=host-1" }));
        settings = { subjectOf: () => "CN=host-1" };
        expect(await cause()).to.include("unable to verify");
      } finally {
        other.remove();
      }
    });
  });

  describe("with a path behind the port", () => {
    const requests: string[] = [];

    /** A proxy that answers CONNECT so. */
    const answers = (...pieces: readonly string[]): ((peer: Socket) => void) => {
      requests.length = 0;
      return (peer) => {
        peer
          .on("error", () => undefined)
          .once("data", (bytes: Buffer) => {
            requests.push(bytes.toString());
            const send = ([piece, ...rest]: readonly string[]): void => {
              if (piece !== undefined) peer.write(piece, () => setImmediate(() => send(rest)));
            };
            send(pieces);
          });
      };
    };

    beforeEach(() => (endpoint.internalAccessPath = "vm-1"));

    it("asks for it in Nova's words, and loses nothing that comes with the answer", async () => {
      endpoint.port = await plain(answers("HTTP/1.1 2", "00 OK\r\nA: b\r\n\r", "\nSPI", "CE"));
      const display = await open();
      expect(requests).to.deep.equal(["CONNECT vm-1 HTTP/1.1\r\n\r\n"]);
      await reads(display, "SPICE");
      display.destroy();
    });

    it("does so over TLS too", async () => {
      endpoint.tlsPort = await secure(undefined, answers("HTTP/1.0 200\r\n\r\nSPICE"));
      const display = await open();
      await reads(display, "SPICE");
      display.destroy();
    });

    const bad: Readonly<Record<string, readonly string[]>> = {
      "a refusal": ["HTTP/1.1 403 Forbidden\r\n\r\n"],
      "a redirect to page 200": ["HTTP/1.1 302 see 200\r\n\r\n"],
      "no HTTP at all": ["SPICE 200 \r\n\r\n"],
      "a header without end": ["HTTP/1.1 200 OK\r\n", "x".repeat(MAX_CONNECT_ANSWER_BYTES)],
      "a header that is too long": [`HTTP/1.1 200 OK\r\nx: ${"x".repeat(MAX_CONNECT_ANSWER_BYTES)}\r\n\r\n`],
    };
    for (const [what, pieces] of Object.entries(bad)) {
      it(`closes the connection at ${what}`, async () => {
        endpoint.port = await plain(answers(...pieces));
        expect((await refusal()).reason).to.equal("TARGET_REFUSED");
        await until("the end", () => peers.every(({ destroyed }) => destroyed));
      });
    }

    it("is TARGET_REFUSED where the answer never comes, or the connection ends before it", async () => {
      endpoint.port = await plain((peer) => void peer.on("error", () => undefined).resume());
      expect((await refusal(50)).message).to.include("in time");
      endpoint.port = await plain((peer) => void peer.on("error", () => undefined).end());
      expect((await refusal()).reason).to.equal("TARGET_REFUSED");
    });
  });
});

function rejected(reason: "AGENT_TIMEOUT"): Promise<never> {
  return Promise.reject(new ServiceError(reason, "nothing came"));
}
