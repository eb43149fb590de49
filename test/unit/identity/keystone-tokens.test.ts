// SPDX-License-Identifier: Apache-2.0
// What the real Keystone, in test/integration, cannot be made to do.
import { expect } from "chai";
import { setMaxListeners } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { Registry } from "prom-client";
import type { KeystoneSettings } from "../../../src/config/keystone-settings.js";
import { KeystoneTokens } from "../../../src/identity/keystone-tokens.js";
import {
  KEYSTONE_LOGIN_PAUSE_MS,
  KEYSTONE_MS,
  MAX_KEYSTONE_ANSWER_BYTES,
  MAX_KEYSTONE_REQUESTS,
  MAX_KEYSTONE_TOKEN_LENGTH,
  MAX_UNKNOWN_KEYSTONE_TOKENS,
  MAX_WAITING_KEYSTONE_REQUESTS,
  OUTAGE_SETTLES_MS,
  UNKNOWN_KEYSTONE_TOKEN_MS,
} from "../../../src/lib/limits.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import type { Caller } from "../../../src/rpc/caller.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import type { Answering } from "../../fakes/fake-keystone.js";
import { FakeKeystone, OWN_TOKEN, tokenBody } from "../../fakes/fake-keystone.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { TestAuthority } from "../../harness/certificates.js";
import { rejectionOf } from "../../harness/rejection.js";
import { until } from "../../harness/within.js";

const ALICE = { subject: "user-1", project: "project-1", roles: ["member"] };
const NEVER = new AbortController().signal;
setMaxListeners(0, NEVER);

/** Who shows tokens to one Keystone. */
class World {
  readonly keystone: FakeKeystone;
  readonly clock = new FakeClock();
  readonly log = new FakeLog();
  registry = new Registry();
  #source: KeystoneTokens | undefined;

  constructor(tls?: { readonly cert: string; readonly key: string }) {
    this.keystone = new FakeKeystone(tls);
    this.keystone.tokens.set("alice", {});
  }

  get source(): KeystoneTokens {
    if (!this.#source) throw new Error("not opened");
    return this.#source;
  }

  open(settings: Partial<KeystoneSettings> = {}): this {
    this.registry = new Registry();
    this.#source = new KeystoneTokens({
      settings: this.keystone.settings(settings),
      metrics: createControllerMetrics(this.registry),
      log: this.log.log,
      clock: this.clock,
    });
    this.source.start();
    return this;
  }

  async close(): Promise<void> {
    this.#source?.stop();
    await this.keystone.stop();
  }

  show(token: string | undefined, signal = NEVER): Promise<Caller> {
    return Promise.resolve(this.source.identify({ token, address: "127.0.0.1" }, signal));
  }

  /** The reason and the cause of a refusal. */
  async refusal(token: string, signal = NEVER): Promise<string> {
    const error = await rejectionOf(this.show(token, signal));
    return `${reasonOf(error)}: ${error.cause instanceof Error ? error.cause.message : ""}`;
  }
}

const answer =
  (status: number, body = "", headers = {}): Answering =>
  (response) =>
    void response.writeHead(status, headers).end(body);

describe("KeystoneTokens", () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.keystone.start();
    world.open();
  });
  afterEach(() => world.close());

  describe("remembers", () => {
    it("a caller for identity.keystone_cache_seconds, and then asks again", async () => {
      expect(await world.show("alice")).to.deep.include(ALICE);
      world.keystone.tokens.delete("alice");
      world.clock.advance(59_999);
      expect(await world.show("alice")).to.deep.include(ALICE);
      world.clock.advance(1);
      expect(await world.show("alice")).to.equal(NOBODY);
      expect(world.keystone.count("alice")).to.equal(2);
    });

    it("no caller for longer than its token lives", async () => {
      const expiresAt = new Date(Date.now() + 10_000).toISOString();
      world.keystone.tokens.set("short", { expires_at: expiresAt });
      await world.show("short");
      world.clock.advance(10_001);
      await world.show("short");
      expect(world.keystone.count("short")).to.equal(2);
    });

    it("a caller of whom it is told at once, without a wait", async () => {
      await world.show("alice");
      expect(world.source.identify({ token: "alice", address: "" }, NEVER)).to.deep.include(ALICE);
    });

    it("for a moment that a token is unknown", async () => {
      await world.show("bob");
      world.keystone.tokens.set("bob", {});
      world.clock.advance(UNKNOWN_KEYSTONE_TOKEN_MS - 1);
      expect(await world.show("bob")).to.equal(NOBODY);
      world.clock.advance(1);
      expect(await world.show("bob")).to.deep.include(ALICE);
    });

    it("callers whatever tokens are made up meanwhile", async () => {
      await world.show("alice");
      for (let from = 0; from < MAX_UNKNOWN_KEYSTONE_TOKENS + 500; from += 500) {
        await Promise.all(Array.from({ length: 500 }, (_, index) => world.show(`made-up-${from + index}`)));
      }
      expect(await world.show("alice")).to.deep.include(ALICE);
      expect(world.keystone.count("alice")).to.equal(1);
    }).timeout(60_000);
  });

  it("asks once for a token that many show at the same time", async () => {
    const callers = await Promise.all(Array.from({ length: 50 }, () => world.show("alice")));
    for (const caller of callers) expect(caller).to.deep.include(ALICE);
    expect(world.keystone.requests).to.deep.equal(["login", "alice"]);
  });

  it("goes on asking for the others when one of them leaves", async () => {
    let respond: (() => void) | undefined;
    world.keystone.onQuestion = (response) => {
      respond = () => void response.writeHead(200).end(tokenBody());
    };
    const leaving = new AbortController();
    const left = world.refusal("alice", leaving.signal);
    const stays = world.show("alice");
    await until("the question", () => respond !== undefined);
    leaving.abort();
    expect(await left).to.match(/^CANCELLED/);
    respond?.();
    expect(await stays).to.deep.include(ALICE);
  });

  it("does not ask about what can be no token of Keystone's", async () => {
    for (const token of [
      undefined,
      "",
      "a b",
      "a\r\nb",
      "ä",
      "sgu_cut-off",
      "x".repeat(MAX_KEYSTONE_TOKEN_LENGTH + 1),
    ]) {
      expect(await world.show(token), String(token)).to.equal(NOBODY);
    }
    expect(world.keystone.requests).to.deep.equal([]);
  });

  it("asks about so many tokens at once and no more, and lets so many wait", async () => {
    world.keystone.onQuestion = () => undefined;
    const all = MAX_KEYSTONE_REQUESTS + MAX_WAITING_KEYSTONE_REQUESTS;
    const waiting = Array.from({ length: all }, (_, index) => world.refusal(`t${index}`));
    await world.keystone.saw(1 + MAX_KEYSTONE_REQUESTS);
    expect(await world.refusal("one-more")).to.equal(
      "IDENTITY_UNAVAILABLE: Keystone is asked about too many tokens at once",
    );
    expect(world.keystone.requests).to.have.length(1 + MAX_KEYSTONE_REQUESTS);
    world.clock.advance(KEYSTONE_MS);
    const refusals = await Promise.all(waiting);
    expect(new Set(refusals.map((text) => text.split(":")[0]))).to.deep.equal(new Set(["IDENTITY_UNAVAILABLE"]));
    expect(world.clock.waiting).to.equal(0);
  });

  describe("is IDENTITY_UNAVAILABLE", () => {
    const odd: readonly { readonly name: string; readonly answering: Answering; readonly cause: RegExp }[] = [
      { name: "fails", answering: answer(500), cause: /Keystone answers 500/ },
      { name: "is overloaded", answering: answer(429), cause: /Keystone answers 429/ },
      { name: "sends us elsewhere", answering: answer(302, "", { location: "/" }), cause: /Keystone answers 302/ },
      { name: "does not let us ask", answering: answer(403), cause: /give it the role service/ },
      { name: "answers no JSON", answering: answer(200, "<html>"), cause: /no description of a token/ },
      { name: "answers another JSON", answering: answer(200, '{"token":{}}'), cause: /token\.expires_at,token\.user/ },
      { name: "answers no user", answering: answer(200, tokenBody({ user: { id: "" } })), cause: /token\.user\.id/ },
      { name: "answers no time", answering: answer(200, tokenBody({ expires_at: "x" })), cause: /token\.expires_at/ },
      {
        name: "answers without an end",
        answering: (response) => void response.writeHead(200).write("x".repeat(MAX_KEYSTONE_ANSWER_BYTES + 1)),
        cause: /longer than 262144 bytes/,
      },
      {
        name: "breaks off",
        answering: (response) => {
          response.writeHead(200, { "content-length": 1_000 }).write("{");
          setImmediate(() => response.destroy());
        },
        cause: /aborted/,
      },
      { name: "hangs up", answering: (response) => void response.destroy(), cause: /hang up/ },
    ];
    for (const { name, answering, cause } of odd) {
      it(`where Keystone ${name}, and remembers nothing of it`, async () => {
        world.keystone.onQuestion = answering;
        expect(await world.refusal("alice"))
          .to.match(/^IDENTITY_UNAVAILABLE: /)
          .and.match(cause);
        world.keystone.onQuestion = undefined;
        expect(await world.show("alice")).to.deep.include(ALICE);
      });
    }

    it("at the deadline where Keystone does not answer, and leaves no connection", async () => {
      let closed = false;
      world.keystone.onQuestion = (response) => void response.on("close", () => (closed = true));
      const refusal = world.refusal("alice");
      await world.keystone.saw(2);
      world.clock.advance(KEYSTONE_MS);
      expect(await refusal).to.match(/^IDENTITY_UNAVAILABLE/);
      await until("the end of the connection", () => closed);
    });

    it("where nobody listens", async () => {
      const port = await closedPort();
      await world.close();
      world = new World();
      await world.keystone.start();
      world.open({ url: `http://127.0.0.1:${port}` });
      expect(await world.refusal("alice")).to.match(/^IDENTITY_UNAVAILABLE: connect ECONNREFUSED/);
    });

    it("while callers that are remembered go on", async () => {
      await world.show("alice");
      world.keystone.onQuestion = answer(503);
      expect(await world.refusal("bob")).to.match(/^IDENTITY_UNAVAILABLE/);
      expect(await world.show("alice")).to.deep.include(ALICE);
    });
  });

  describe("with its own token", () => {
    it("gets another one when nine tenths of its life are over", async () => {
      world.keystone.ownMs = 0;
      for (const token of ["a", "b"]) await world.show(token);
      expect(world.keystone.requests).to.deep.equal(["login", "a", "login", "b"]);
      world.keystone.ownMs = 3_600_000;
      for (const token of ["c", "d"]) await world.show(token);
      expect(world.keystone.requests.slice(4)).to.deep.equal(["login", "c", "d"]);
    });

    it("gets another one when it was revoked, one for all that notice", async () => {
      await world.show("alice");
      world.keystone.forgetOwn();
      const tokens = Array.from({ length: 10 }, (_, index) => `t${index}`);
      for (const token of tokens) world.keystone.tokens.set(token, {});
      for (const caller of await Promise.all(tokens.map((token) => world.show(token)))) {
        expect(caller).to.deep.include(ALICE);
      }
      expect(world.keystone.count("login")).to.equal(2);
    });

    it("gives up where the second one is not taken either", async () => {
      world.keystone.onQuestion = answer(401);
      expect(await world.refusal("alice")).to.equal(
        "IDENTITY_UNAVAILABLE: Keystone takes no token of the user of identity.keystone_username",
      );
      expect(world.keystone.requests).to.deep.equal(["login", "alice", "login", "alice"]);
    });

    it("does not try a password again at once that was wrong", async () => {
      world.keystone.onLogin = answer(401);
      for (const token of ["a", "b"]) expect(await world.refusal(token)).to.match(/does not let in the user/);
      expect(world.keystone.requests).to.deep.equal(["login"]);
      world.clock.advance(KEYSTONE_LOGIN_PAUSE_MS);
      world.keystone.onLogin = undefined;
      expect(await world.show("alice")).to.deep.include(ALICE);
    });

    it("is IDENTITY_UNAVAILABLE where Keystone gives it none", async () => {
      for (const [status, cause] of [
        [201, "Keystone answers 201"],
        [500, "Keystone answers 500"],
      ] as const) {
        world.keystone.onLogin = answer(status, tokenBody());
        expect(await world.refusal("alice")).to.equal(`IDENTITY_UNAVAILABLE: ${cause}`);
      }
    });
  });

  it("says once that Keystone fails and once that it is back, and nothing of any token", async () => {
    world.keystone.onQuestion = answer(500);
    for (const token of ["alice", "bob"]) await world.refusal(token);
    world.keystone.onQuestion = undefined;
    await world.show("alice");
    world.clock.advance(OUTAGE_SETTLES_MS);
    await world.show("carol");
    expect(world.log.at("warn").map(({ msg }) => msg)).to.deep.equal(["Keystone cannot be asked"]);
    expect(world.log.at("info").map(({ msg }) => msg)).to.deep.equal(["Keystone answers again"]);
    const lines = JSON.stringify([world.log.at("warn"), world.log.at("info")]);
    expect(lines).to.not.match(new RegExp(`alice|bob|carol|open-sesame|${OWN_TOKEN}`));
  });

  it("measures each question by how it ended", async () => {
    await world.show("alice");
    await world.show("alice");
    await world.show("bob");
    world.keystone.onQuestion = answer(500);
    await world.refusal("carol");
    const text = await world.registry.getSingleMetricAsString("spicegate_keystone_seconds");
    for (const outcome of ["known", "unknown", "failed"]) {
      expect(text).to.contain(`spicegate_keystone_seconds_count{outcome="${outcome}"} 1`);
    }
  });

  it("ends questions that run with DRAINING when it stops", async () => {
    world.keystone.onQuestion = () => undefined;
    const refusals = [world.refusal("alice"), world.refusal("bob")];
    await world.keystone.saw(3);
    world.source.stop();
    world.source.stop();
    expect(await Promise.all(refusals)).to.deep.equal(["DRAINING: ", "DRAINING: "]);
    expect(world.log.at("warn")).to.deep.equal([]);
  });

  it("warns at its start where tokens travel in the clear", () => {
    world.open({ inTheClear: true });
    expect(world.log.at("warn").map(({ msg }) => msg)).to.deep.equal([
      "Keystone is asked over plain http: whoever is on the way can read every token",
    ]);
  });
});

describe("KeystoneTokens over TLS", () => {
  const authority = new TestAuthority();
  const stranger = new TestAuthority("/CN=Another Authority");
  after(() => {
    authority.remove();
    stranger.remove();
  });

  const asked = async (names: string, ca: string | undefined): Promise<string> => {
    const world = new World(authority.issue({ names }));
    await world.keystone.start();
    world.open({ url: `https://${world.keystone.address}`, ca });
    try {
      return await world.show("alice").then(
        ({ subject }) => subject,
        () => world.refusal("bob"),
      );
    } finally {
      await world.close();
    }
  };

  it("trusts the authorities that it is given", async () => {
    expect(await asked("IP:127.0.0.1", authority.cert)).to.equal("user-1");
  });

  it("sends nothing to whose certificate comes from elsewhere, or is another's", async () => {
    for (const refusal of [
      await asked("IP:127.0.0.1", stranger.cert),
      await asked("IP:127.0.0.1", undefined),
      await asked("DNS:elsewhere.example", authority.cert),
    ]) {
      expect(refusal).to.match(/^IDENTITY_UNAVAILABLE: .*(unable to verify|does not match)/);
    }
  });
});

/** A port that was free a moment ago. */
function closedPort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
