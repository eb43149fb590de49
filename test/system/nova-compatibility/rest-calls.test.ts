// SPDX-License-Identifier: Apache-2.0
// What Nova's two calls for a console answer. Bodies are compared by their shape, not by their prose.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { FailureReason, ListenKind } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { Deployment } from "../../harness/deployment.js";
import { registrationOf, registryOn } from "../../harness/inventory.js";
import { register } from "../../harness/inventory-calls.js";
import type { RestAnswer, RestClient } from "../../harness/rest-client.js";
import { consoleUrlOf, faultOf } from "../../harness/rest-client.js";
import { TestDatabase } from "../../harness/test-database.js";
import { tokenOf } from "../../harness/viewer.js";
import type { ScriptedInstance } from "./nova-world.js";
import { inWorld, withAndWithoutLegacy } from "./nova-world.js";

/** Both ways to ask for a SPICE console. */
const CALLS = {
  "os-getSPICEConsole": (rest: RestClient, uuid: string) => rest.legacyConsole(uuid),
  "remote-consoles": (rest: RestClient, uuid: string) => rest.remoteConsole(uuid),
} as const;

const FAULTS: Readonly<Record<number, string>> = {
  400: "badRequest",
  403: "forbidden",
  404: "itemNotFound",
  409: "conflictingRequest",
  501: "notImplemented",
  503: "serviceUnavailable",
};

/** Throws unless it is a fault of this status in Nova's shape. */
function expectFault(answer: RestAnswer, status: number, what = ""): void {
  const { name, code } = faultOf(answer);
  expect({ name, code }, what).to.deep.equal({ name: FAULTS[status], code: status });
}

/** What a host says, and what the caller is answered. */
const HOST_SAYS = [
  ["SPICE is disabled on the host", "FAILURE_REASON_SPICE_DISABLED", 400],
  ["the machine has no SPICE display", "FAILURE_REASON_NO_SPICE_DISPLAY", 400],
  ["the domain is missing", "FAILURE_REASON_INSTANCE_NOT_FOUND", 404],
  ["the machine is not running (ours)", "FAILURE_REASON_INSTANCE_NOT_RUNNING", 409],
  ["the host has no SPICE at all", "FAILURE_REASON_HOST_LACKS_SPICE", 501],
] as const;

describe("01 each condition is answered alike by both calls", () => {
  withAndWithoutLegacy((world) => {
    let instance: ScriptedInstance;
    before(async () => {
      instance = await world().scripted();
    });

    for (const [name, ask] of Object.entries(CALLS)) {
      describe(name, () => {
        const askFor = (uuid: string): Promise<RestAnswer> => ask(world().deployment.rest, uuid);

        it("gives a console: its type, its protocol where asked for one, and the URL", async () => {
          const answer = await askFor(instance.uuid);
          const url = consoleUrlOf(answer);
          const type = "spice-html5";
          const modern = { remote_console: { protocol: "spice", type, url } };
          expect(answer.body).to.deep.equal(name === "remote-consoles" ? modern : { console: { type, url } });
          expect(await world().redeem(tokenOf(url))).to.equal("OK");
        });

        it("404 for an unknown instance, and for what is no uuid", async () => {
          expectFault(await askFor(randomUUID()), 404);
          expectFault(await askFor("no-uuid"), 404);
        });

        it("409 for an instance without a host", async () => {
          const { instanceUuid } = await register(world().deployment, { instanceUuid: randomUUID() });
          expectFault(await askFor(instanceUuid), 409);
        });

        it("409 while it is deleted or migrated, where Nova has a 500", async () => {
          for (const taskState of ["deleting", "migrating"]) {
            const busy = { instanceUuid: randomUUID(), host: instance.host, taskState };
            expectFault(await askFor((await register(world().deployment, busy)).instanceUuid), 409, taskState);
          }
        });

        it("503 at once for a host whose agent is away, where Nova waits for its bus and then has a 500", async () => {
          const lost = { instanceUuid: randomUUID(), host: "nova-lost" };
          const asked = performance.now();
          expectFault(await askFor((await register(world().deployment, lost)).instanceUuid), 503);
          expect(performance.now() - asked).to.be.below(1_000);
        });

        it("409 while it is being built and has no domain", async () => {
          const building = await world().scripted({ vmState: "building" });
          building.script.failure = FailureReason.FAILURE_REASON_INSTANCE_NOT_FOUND;
          expectFault(await askFor(building.uuid), 409);
        });

        for (const [condition, reason, status] of HOST_SAYS) {
          it(`${status} where ${condition}`, async () => {
            const told = await world().scripted();
            told.script.failure = FailureReason[reason];
            expectFault(await askFor(told.uuid), status);
          });
        }
      });
    }

    it("400 for a body that is not as it should be, by the name of the bad field", async () => {
      const { rest } = world().deployment;
      const path = `/v2.1/servers/${instance.uuid}`;
      const modern = (body: unknown): Promise<RestAnswer> =>
        rest.post(`${path}/remote-consoles`, body, { version: "2.8" });
      const spice = { protocol: "spice", type: "spice-html5" };
      const bad: [Promise<RestAnswer>, string][] = [
        [modern({}), "remote_console"],
        [modern({ remote_console: { protocol: "spice" } }), "type"],
        [modern({ remote_console: { type: "spice-html5" } }), "protocol"],
        [modern({ remote_console: { ...spice, more: 1 } }), "more"],
        [modern({ remote_console: { ...spice, protocol: "x11" } }), "protocol"],
        [rest.post(`${path}/action`, { "os-getSPICEConsole": {} }), "type"],
        [rest.post(`${path}/action`, { "os-getSPICEConsole": { type: "novnc" } }), "type"],
        [rest.post(`${path}/action`, { "os-getSPICEConsole": { type: "spice-html5", more: 1 } }), "more"],
      ];
      for (const [answer, field] of bad) {
        const { code, message } = faultOf(await answer);
        expect(code).to.equal(400);
        expect(message).to.include(field);
      }
    });
  });
});

// The host is asked before either store.
describe("01 each condition is answered alike by both calls, also where", function () {
  this.timeout(60_000);
  inWorld({ legacy: false, compat: false }, (world) => {
    it("the host says nothing: 504 at the deadline, where Nova has a 500", async () => {
      const { uuid, script } = await world().scripted();
      script.silent = true;
      const { rest } = world().deployment;
      const answers = await Promise.all(Object.values(CALLS).map((ask) => ask(rest, uuid)));
      for (const answer of answers) expect(faultOf(answer)).to.include({ name: "computeFault", code: 504 });
    });
  });
});

describe("02 protocols and types are two lists", () => {
  withAndWithoutLegacy((world) => {
    it("what does not fit together passes the schema: 400 only once the instance was found", async () => {
      const { uuid } = await world().scripted();
      const { rest } = world().deployment;
      for (const pair of [
        { protocol: "spice", type: "novnc" },
        { protocol: "vnc", type: "spice-html5" },
        { protocol: "rdp", type: "rdp-html5" },
        { protocol: "mks", type: "webmks" },
      ]) {
        expectFault(await rest.remoteConsole(uuid, pair), 400, pair.type);
        expectFault(await rest.remoteConsole(randomUUID(), pair), 404, pair.type);
      }
      // What is in neither list never gets so far.
      expectFault(await rest.remoteConsole(randomUUID(), { protocol: "spice", type: "x11" }), 400);
    });
  });
});

describe("03 the versions in which each thing is there", () => {
  withAndWithoutLegacy((world) => {
    let instance: ScriptedInstance;
    before(async () => {
      instance = await world().scripted();
    });

    it("2.98 does not know spice-direct; 2.99 does, and leads to the native proxy", async () => {
      const { rest } = world().deployment;
      const ask = (version: string): Promise<RestAnswer> =>
        rest.remoteConsole(instance.uuid, { type: "spice-direct", version });
      expectFault(await ask("2.98"), 400);
      expect(consoleUrlOf(await ask("2.99"))).to.match(/^http:\/\/127\.0\.0\.1:13002\/nova\?token=/);
      expect(consoleUrlOf(await ask("latest"))).to.match(/^http:\/\/127\.0\.0\.1:13002\/nova\?token=/);
    });

    it("409 for spice-direct where there is nothing to dial", async () => {
      const { uuid, script } = await world().scripted();
      script.endpoint = { ...script.endpoint, listen: ListenKind.LISTEN_KIND_NONE, port: 0, tlsPort: 0 };
      const { rest } = world().deployment;
      expectFault(await rest.remoteConsole(uuid, { type: "spice-direct", version: "2.99" }), 409);
      consoleUrlOf(await rest.remoteConsole(uuid));
    });

    it("the action is there up to 2.5, remote-consoles from 2.6 on; on the other side they are 404", async () => {
      const { rest } = world().deployment;
      consoleUrlOf(await rest.legacyConsole(instance.uuid, { version: "2.5" }));
      expectFault(await rest.legacyConsole(instance.uuid, { version: "2.6" }), 404);
      expectFault(await rest.remoteConsole(instance.uuid, { version: "2.5" }), 404);
      consoleUrlOf(await rest.remoteConsole(instance.uuid, { version: "2.6" }));
    });

    it("mks and webmks come with 2.8", async () => {
      const { rest } = world().deployment;
      // From the schema, before the instance is looked for; and from the use case, after that.
      expectFault(await rest.remoteConsole(randomUUID(), { protocol: "mks", type: "webmks", version: "2.7" }), 400);
      expectFault(await rest.remoteConsole(randomUUID(), { protocol: "mks", type: "webmks", version: "2.8" }), 404);
    });
  });
});

// Who may do what is decided before either store is asked.
describe("04 who asks", function () {
  this.timeout(60_000);
  const uuid = randomUUID();
  let db: TestDatabase;
  let member: Deployment;
  let auditor: Deployment;

  before(async () => {
    db = await TestDatabase.create();
    const { url: databaseUrl } = db;
    await registryOn(db.database).register(registrationOf(uuid, { projectId: "ours", host: "host-1" }));
    const start = (role: string, project: string): Promise<Deployment> => {
      const caller = { subject: "mallory", project, roles: [role] };
      return Deployment.start({ databaseUrl, controller: { identity: { loopback_caller: caller } } });
    };
    [member, auditor] = await Promise.all([start("member", "theirs"), start("auditor", "ours")]);
  });
  after(async () => {
    await Promise.all([member.stop(), auditor.stop()]);
    await db.stop();
  });

  it("a member is told of another project's instance what it is told of an unknown one", async () => {
    const { rest } = member;
    for (const ask of Object.values(CALLS)) {
      const unknown = randomUUID();
      const [theirs, nobodys] = [await ask(rest, uuid), await ask(rest, unknown)];
      expectFault(theirs, 404);
      expect(theirs.text.replaceAll(uuid, unknown)).to.equal(nobodys.text);
    }
  });

  it("a role without the verb is told 403 whatever the instance", async () => {
    const { rest } = auditor;
    for (const ask of Object.values(CALLS)) {
      const [known, unknown] = [await ask(rest, uuid), await ask(rest, randomUUID())];
      expectFault(known, 403);
      expect(known.text).to.equal(unknown.text);
    }
    expectFault(await rest.lookup("A".repeat(43)), 403);
  });
});

describe("16 looking a token up", () => {
  withAndWithoutLegacy((world) => {
    let instance: ScriptedInstance;
    before(async () => {
      instance = await world().scripted();
    });

    it("does not use it up, and says where the display is", async () => {
      const token = await world().issue(instance.uuid);
      const { rest } = world().deployment;
      const body = {
        console: { instance_uuid: instance.uuid, host: "127.0.0.1", port: 5900, internal_access_path: null },
      };
      for (const version of ["2.31", "2.98", "2.99"]) {
        expect((await rest.lookup(token, { version })).body, version).to.deep.equal(body);
      }
      expect(await world().redeem(token)).to.equal("OK");
      // Once used it stands for nothing; Nova's goes on until it expires.
      expectFault(await rest.lookup(token), 404);
    });

    it("tells the TLS port for spice-direct alone, from 2.99 on", async () => {
      const token = await world().issue(instance.uuid, "spice-direct");
      const { rest } = world().deployment;
      expect((await rest.lookup(token, { version: "2.99" })).body).to.have.nested.property("console.tls_port", 5901);
      expect((await rest.lookup(token, { version: "2.98" })).body).to.not.have.nested.property("console.tls_port");
    });

    it("refuses a query at 2.99 only, versions below 2.31, and what is no token", async () => {
      const token = await world().issue(instance.uuid);
      const { rest } = world().deployment;
      const query = "?all=1";
      expect((await rest.lookup(token, { version: "2.98", query })).status).to.equal(200);
      expectFault(await rest.lookup(token, { version: "2.99", query }), 400);
      expectFault(await rest.lookup(token, { version: "2.30" }), 400);
      expectFault(await rest.lookup(""), 400);
      expectFault(await rest.lookup("A".repeat(43)), 404);
    });
  });
});
