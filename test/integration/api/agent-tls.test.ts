// SPDX-License-Identifier: Apache-2.0
// Agents and a controller's two listeners for them over TLS: who is let in, what both sides log of who is not, and what a
// change of certificates and authorities leaves alone.
import type { Server } from "@grpc/grpc-js";
import { expect } from "chai";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect as connectPlain, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { connect } from "node:tls";
import { Registry } from "prom-client";
import { AgentIdentity } from "../../../agent/agent-identity.js";
import { ControllerCredentials } from "../../../agent/controller-credentials.js";
import type { StreamState } from "../../../agent/controller-stream.js";
import { ControllerStream } from "../../../agent/controller-stream.js";
import { dialTunnel } from "../../../agent/dial-tunnel.js";
import { AgentRouter } from "../../../src/agents/agent-router.js";
import { addAgentStreamService } from "../../../src/api/agent-stream-service.js";
import type { Refusal } from "../../../src/audit/audit-log.js";
import type { ExpectedTunnel } from "../../../src/displays/tunnel-listener.js";
import { TunnelListener } from "../../../src/displays/tunnel-listener.js";
import { Backoff } from "../../../src/lib/backoff.js";
import { systemClock } from "../../../src/lib/clock.js";
import { MAX_TLS_HANDSHAKES, FILES_INTERVAL_MS } from "../../../src/lib/limits.js";
import { requireAddress } from "../../../src/lib/listen-address.js";
import type { TlsFileNames } from "../../../src/lib/tls-files.js";
import { TlsFiles } from "../../../src/lib/tls-files.js";
import type { ServerTls } from "../../../src/lib/tls-server.js";
import { ruleOf } from "../../../src/policy/method-rules.js";
import { NO_CALL_LIMITS } from "../../../src/rpc/call-limits.js";
import { GrpcServer } from "../../../src/rpc/grpc-server.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { AgentParts } from "../../harness/agent-parts.js";
import type { TestCertificate } from "../../harness/certificates.js";
import { FakeRevocations } from "../../fakes/fake-revocations.js";
import { TestAuthority } from "../../harness/certificates.js";
import { rejectionOf } from "../../harness/rejection.js";
import { until, within } from "../../harness/within.js";

const LOCAL = { host: "127.0.0.1", port: 0 };
const HOST = "host-1";
const SIGNAL = new AbortController().signal;

/** Files that are looked at when a test says so. */
class WatchedFiles {
  readonly files: TlsFiles;
  readonly log: FakeLog;
  readonly #names: TlsFileNames;
  readonly #clock = new FakeClock();

  constructor(folder: string, name: string, log: FakeLog) {
    this.log = log;
    const file = (kind: string): string => join(folder, `${name}.${kind}`);
    this.#names = { cert: file("pem"), key: file("key"), ca: file("ca") };
    const metrics = createControllerMetrics(new Registry());
    this.files = new TlsFiles({ name, files: this.#names, metrics, log: log.log, clock: this.#clock });
  }

  write({ cert, key }: Pick<TestCertificate, "cert" | "key">, ...authorities: readonly TestAuthority[]): void {
    writeFileSync(this.#names.cert, cert);
    writeFileSync(this.#names.key, key);
    writeFileSync(this.#names.ca ?? "", authorities.map((authority) => authority.cert).join(""));
  }

  /** Writes them, and has the change seen. */
  async change(certificate: TestCertificate, ...authorities: readonly TestAuthority[]): Promise<void> {
    this.write(certificate, ...authorities);
    const before = this.files.identity;
    for (let look = 0; look < 2; look += 1) {
      await until("the look to end", () => this.#clock.waiting === 1);
      this.#clock.advance(FILES_INTERVAL_MS);
    }
    await until("the change", () => this.files.identity !== before);
  }
}

/** A controller as far as agents see it, without a database. */
class Door {
  readonly log = new FakeLog();
  readonly refusals: Refusal[] = [];
  readonly router: AgentRouter;
  readonly certificates: WatchedFiles;
  readonly #server: GrpcServer;
  readonly tunnels: TunnelListener;

  constructor(folder: string, more: Partial<ServerTls> = {}) {
    const { log } = this.log;
    const metrics = createControllerMetrics(new Registry());
    this.certificates = new WatchedFiles(folder, "agents", this.log);
    this.router = new AgentRouter({ log, metrics });
    const tls = { files: this.certificates.files, log, ...more };
    const options = {
      controllerId: "c".repeat(32),
      connections: NO_CALL_LIMITS.agentConnections,
      messagesPerSecond: 0,
      router: this.router,
      peers: () => [],
      instances: {
        welcomeHost: ({ host }: { host: string }) => Promise.resolve({ host, streamId: 1n, generation: 1n }),
        hostDisconnected: () => Promise.resolve(),
        applySnapshot: () => Promise.resolve("applied" as const),
        applyEvent: () => Promise.resolve("applied" as const),
        setHypervisor: () => Promise.resolve(),
      },
      databaseUp: () => true,
      hostsProven: true,
      revocations: new FakeRevocations(),
      refusals: { record: (refusal: Refusal) => void this.refusals.push(refusal) },
      log,
      metrics,
      clock: systemClock,
    };
    const addServices = (server: Server): void => addAgentStreamService(server, options);
    this.#server = new GrpcServer({ name: "agents", listen: LOCAL, tls, addServices, requireRule: ruleOf, log });
    this.tunnels = new TunnelListener({ listen: LOCAL, tls, log });
  }

  get port(): number {
    return this.#server.port;
  }

  async start(): Promise<void> {
    this.certificates.files.start();
    await this.#server.start();
    await this.tunnels.start();
  }

  async stop(): Promise<void> {
    await this.tunnels.stop();
    await this.#server.stop();
    await this.certificates.files.stop();
  }

  expectTunnel(host = HOST): ExpectedTunnel {
    return this.tunnels.expect({ host, ms: 5_000, signal: SIGNAL });
  }

  /** What the log says of a connection that was not let in. */
  async refused(): Promise<unknown> {
    const lines = (): readonly Record<string, unknown>[] =>
      this.log.at("warn").filter(({ msg }) => msg === "a connection was not let in");
    await until("the controller to say why", () => lines().length > 0);
    expect(lines()[0]).to.include({ listener: "agents", client: "127.0.0.1" });
    return lines()[0]?.["detail"];
  }
}

/** An agent as far as a controller sees it. */
class Agent {
  readonly log = new FakeLog();
  readonly certificates: WatchedFiles;
  readonly credentials: ControllerCredentials;
  readonly states: StreamState[] = [];
  readonly #parts = new AgentParts();
  #stream: ControllerStream | undefined;

  constructor(folder: string, name: string) {
    this.certificates = new WatchedFiles(folder, name, this.log);
    this.credentials = new ControllerCredentials({ files: this.certificates.files });
  }

  /** Begins to connect. */
  dial(address: string, host = HOST): void {
    const { log } = this.log;
    this.#stream = new ControllerStream({
      address,
      context: {
        ...this.#parts.context,
        identity: new AgentIdentity(host, "1"),
        credentials: this.credentials,
        log,
      },
      onState: (state) => void this.states.push(state),
      onWelcome: () => undefined,
      onPeers: () => undefined,
      onUnreached: () => undefined,
      backoff: new Backoff({ firstMs: 10, mostMs: 50 }),
    });
    this.#stream.start();
  }

  get isOpen(): boolean {
    return this.#stream?.state === "open";
  }

  /** Waits until it is in. */
  open(): Promise<void> {
    return until("the stream to open", () => this.isOpen);
  }

  /** Why it could not connect, as its log says it. */
  async refused(): Promise<unknown> {
    const lines = (): readonly Record<string, unknown>[] =>
      this.log.at("warn").filter(({ msg }) => msg === "not connected to the controller");
    await until("the agent to say why", () => lines().length > 0);
    return lines()[0]?.["detail"];
  }

  async stop(): Promise<void> {
    await this.#stream?.stop();
    await this.certificates.files.stop();
    await this.#parts.stop();
  }
}

describe("Agents over TLS", () => {
  const authority = new TestAuthority();
  const other = new TestAuthority("/CN=Other Authority");
  const server = authority.issue();
  const host = authority.issue({ names: `DNS:${HOST}` });
  let door: Door;
  let agents: Agent[];
  let sockets: Socket[];

  after(() => {
    authority.remove();
    other.remove();
  });

  beforeEach(async () => {
    agents = [];
    sockets = [];
    door = new Door(authority.folder);
    door.certificates.write(server, authority);
    await door.start();
  });

  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    for (const agent of agents) await agent.stop();
    await door.stop();
  });

  /** An agent with these files that has not dialled yet. */
  function agentWith(certificate: Pick<TestCertificate, "cert" | "key"> = host, ca = authority): Agent {
    const agent = new Agent(authority.folder, `agent-${agents.length}`);
    agent.certificates.write(certificate, ca);
    agent.certificates.files.start();
    agents.push(agent);
    return agent;
  }

  const address = (name = "127.0.0.1"): string => `${name}:${door.port}`;

  /** The outcome of a bare TLS connection: the server's first word, or the error. */
  async function firstWord(options: ConnectionOptions): Promise<TLSSocket> {
    const socket = connect({
      port: door.port,
      host: "127.0.0.1",
      ca: authority.cert,
      ALPNProtocols: ["h2"],
      ...options,
    });
    sockets.push(socket);
    const failed = new Promise<never>((_resolve, reject) => {
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("closed")));
    });
    await within("an outcome", Promise.race([once(socket, "data"), failed]));
    return socket;
  }

  it("lets a host in by its certificate, on an address and on a name", async () => {
    for (const name of ["127.0.0.1", "localhost"]) {
      const agent = agentWith();
      agent.dial(address(name));
      await agent.open();
      expect(door.router.isConnected(HOST)).to.equal(true);
      await agent.stop();
    }
  });

  it("speaks TLS 1.2 and 1.3 and nothing older, on both ports, and resumes no session", async () => {
    const { cert, key } = host;
    const both = [door.port, requireAddress(door.tunnels.address).port];
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const first = await firstWord({ cert, key, minVersion: version, maxVersion: version });
      expect(first.getProtocol()).to.equal(version);
      const session = first.getSession();
      const again = await firstWord({ cert, key, minVersion: version, maxVersion: version, session });
      expect(again.isSessionReused()).to.equal(false);
    }
    // Security level 0: else OpenSSL would not even ask for it.
    const old = { cert, key, minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    for (const port of both) {
      expect((await rejectionOf(firstWord({ ...old, port }))).message).to.include("alert protocol version");
    }
    expect(await door.refused()).to.equal("the client speaks nothing newer than TLS 1.1: update it");
  });

  it("turns away whoever shows no certificate, on both ports", async () => {
    const tunnels = { port: requireAddress(door.tunnels.address).port, ALPNProtocols: ["http/1.1"] };
    for (const port of [{}, tunnels]) {
      expect((await rejectionOf(firstWord(port))).message).to.include("alert certificate required");
    }
    expect(await door.refused()).to.equal("the client shows no certificate: set agent.cert");
  });

  it("turns away what another authority has signed, and both sides say so", async () => {
    const agent = agentWith(other.issue({ names: `DNS:${HOST}` }));
    agent.dial(address());
    expect(await agent.refused()).to.include("does not take the certificate in agent.cert: its log says why");
    expect(await door.refused()).to.include("comes from an authority that agents.ca_file does not hold");
    expect(door.router.isConnected(HOST)).to.equal(false);
  });

  it("turns away what has expired, and both sides say so", async () => {
    const agent = agentWith(authority.expire(host));
    agent.dial(address());
    expect(await agent.refused()).to.match(/agent\.cert: it expired at .*: renew it/);
    expect(await door.refused()).to.equal("the certificate of the client has expired: renew it (agent.cert)");
  });

  it("turns away what is no agent's: a certificate for servers, and a client in the clear", async () => {
    const agent = agentWith(authority.issue({ names: `DNS:${HOST}`, use: "serverAuth" }));
    agent.dial(address());
    expect(await door.refused()).to.include("is not made for that use");
    const plain = new ControllerCredentials();
    const failed = dialTunnel({ address: requireAddress(door.tunnels.address), secret: "s" }, plain, { ms: 2_000 });
    await rejectionOf(failed);
    await until("the log", () => JSON.stringify(door.log.at("warn")).includes("the client speaks no TLS"));
  });

  it("has agents turn away a controller of another authority, of another name, and one that has expired", async () => {
    const stranger = agentWith(host, other);
    stranger.dial(address());
    expect(await stranger.refused()).to.include("comes from an authority that agent.ca_file does not hold");

    await door.certificates.change(authority.issue({ names: "DNS:controller.example" }), authority);
    const misled = agentWith();
    misled.dial(address());
    expect(await misled.refused())
      .to.include("is for another name than the one that was dialled")
      .and.include("127.0.0.1")
      .and.include("controller.example");
    const expected = door.expectTunnel();
    const target = { address: requireAddress(expected.address), secret: expected.secret };
    const error = await rejectionOf(dialTunnel(target, misled.credentials, { ms: 2_000 }));
    expect(error.message).to.include("is for another name than the one that was dialled");

    const spare = authority.issue();
    await door.certificates.change({ ...spare, ...authority.expire(spare) }, authority);
    const late = agentWith();
    late.dial(address());
    expect(await late.refused()).to.include("the certificate of the controller has expired: renew it");
  });

  it("has agents say so where a controller speaks no TLS", async () => {
    const silent = createServer((socket) => void sockets.push(socket.on("error", () => undefined)));
    await once(silent.listen(0, "127.0.0.1"), "listening");
    const { port } = silent.address() as AddressInfo;
    try {
      const agent = agentWith();
      agent.dial(`127.0.0.1:${port}`);
      await until("the connection", () => sockets.length === 1);
      sockets[0]?.write("HTTP/1.0 400 Bad Request\r\n\r\n");
      expect(await agent.refused()).to.include("the controller speaks no TLS: set agents.cert there");
    } finally {
      silent.close();
    }
  });

  it("refuses a host that says it is another one, and notes both names", async () => {
    const agent = agentWith();
    agent.dial(address(), "host-2");
    expect(await agent.refused()).to.match(/^refused \(HOST_MISMATCH\): the certificate is for host-1, not for host-2/);
    expect(door.refusals[0]).to.deep.include({ reason: "HOST_MISMATCH", host: "host-2" });
    expect(door.refusals[0]?.actor).to.include({ subject: HOST, clientAddress: "127.0.0.1" });
    expect(door.router.isConnected("host-2")).to.equal(false);
  });

  it("takes a tunnel of the host that was asked for it, and no other host's with the same secret", async () => {
    const expected = door.expectTunnel();
    const target = { address: requireAddress(expected.address), secret: expected.secret };
    const thief = agentWith(authority.issue({ names: "DNS:host-2" }));
    const refusal = await rejectionOf(dialTunnel(target, thief.credentials, { ms: 2_000 }));
    expect(refusal.message).to.include("answered 403");
    expect(door.log.at("warn")).to.have.length(1);
    expect(JSON.stringify(door.log.at("warn")))
      .to.include("another host's certificate")
      .and.not.include(target.secret);

    const far = await dialTunnel(target, agentWith().credentials, { ms: 2_000 });
    const tunnel = await within("the tunnel", expected.arrived);
    sockets.push(far, tunnel);
    far.write("from the display");
    expect(String((await once(tunnel, "data"))[0])).to.equal("from the display");
    tunnel.write("to the display");
    expect(String((await once(far, "data"))[0])).to.equal("to the display");
    const ended = new Promise((resolve) => tunnel.once("close", resolve));
    far.end();
    await within("the end of one side to be that of both", ended);
    expect(door.tunnels.openTunnels).to.equal(0);
  });

  it("goes on with streams and tunnels while certificate and authorities change, and judges new ones by the new", async () => {
    const agent = agentWith();
    agent.dial(address());
    await agent.open();
    const expected = door.expectTunnel();
    const target = { address: requireAddress(expected.address), secret: expected.secret };
    const far = await dialTunnel(target, agent.credentials, { ms: 2_000 });
    const tunnel = await within("the tunnel", expected.arrived);
    sockets.push(far, tunnel);

    await door.certificates.change(other.issue(), other);
    const newer = agentWith(other.issue({ names: "DNS:host-2" }), other);
    newer.dial(address(), "host-2");
    await newer.open();
    const older = agentWith(host, other);
    older.dial(address(), "host-3");
    expect(await older.refused()).to.include("does not take the certificate in agent.cert");
    expect(agent.states).to.deep.equal(["connecting", "greeting", "open"]);
    tunnel.write("still here");
    expect(String((await once(far, "data"))[0])).to.equal("still here");
  });

  it("believes two authorities at a time", async () => {
    await door.certificates.change(server, authority, other);
    const newer = agentWith(other.issue({ names: "DNS:host-2" }));
    newer.dial(address(), "host-2");
    const agent = agentWith();
    agent.dial(address());
    await Promise.all([newer.open(), agent.open()]);
  });

  it("has an agent show what its files hold now, on the next connection", async () => {
    const agent = agentWith(other.issue({ names: `DNS:${HOST}` }));
    agent.dial(address());
    await agent.refused();
    await agent.certificates.change(host, authority);
    await agent.open();
  });

  it("lets an agent in while strangers hold all handshakes that may be under way, and stops in the middle of them", async () => {
    const idle = Array.from({ length: MAX_TLS_HANDSHAKES }, () => connectPlain(door.port));
    sockets.push(...idle);
    await Promise.all(idle.map((socket) => once(socket, "connect")));
    const agent = agentWith();
    agent.dial(address());
    await agent.open();
    await within("the stop", door.stop());
  });

  it("closes a connection whose handshake does not end", async () => {
    await door.stop();
    door = new Door(authority.folder, { handshakeMs: 50 });
    await door.start();
    for (const port of [door.port, requireAddress(door.tunnels.address).port]) {
      const socket = connectPlain(port).resume();
      sockets.push(socket);
      await within("the end", once(socket, "close"));
    }
  });
});
