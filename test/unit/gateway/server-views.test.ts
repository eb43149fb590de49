// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { createHash } from "node:crypto";
import { serverDetail, serverSummary } from "../../../src/gateway/server-views.js";
import type { Instance, PowerState } from "../../../src/instances/instance.js";
import { anInstance, UUID } from "../../fakes/instance.js";

const HERE = { base: "http://nova.example:8774", prefix: "/v2.1", admin: true };
const LINKS = [
  { rel: "self", href: `http://nova.example:8774/v2.1/servers/${UUID}` },
  { rel: "bookmark", href: `http://nova.example:8774/servers/${UUID}` },
];

function detailOf(instance: Partial<Instance>): Record<string, unknown> {
  return serverDetail(anInstance(instance), HERE) as Record<string, unknown>;
}

describe("serverSummary", () => {
  it("has id, name and links", () => {
    expect(serverSummary(anInstance(), HERE)).to.deep.equal({ id: UUID, name: "web-1", links: LINKS });
  });

  it("keeps the project of the request's address in the link", () => {
    const links = [{ rel: "self", href: `http://nova.example:8774/v2.1/p1/servers/${UUID}` }, LINKS[1]];
    expect(serverSummary(anInstance(), { ...HERE, prefix: "/v2.1/p1" })).to.deep.include({ links });
  });
});

describe("serverDetail", () => {
  it("has what is known in Nova's names and shapes", () => {
    expect(serverDetail(anInstance(), HERE)).to.deep.equal({
      id: UUID,
      name: "web-1",
      links: LINKS,
      status: "ACTIVE",
      tenant_id: "p1",
      user_id: "u1",
      hostId: createHash("sha224").update("p1host-1").digest("hex"),
      created: "2026-01-02T03:04:05Z",
      updated: "2026-02-03T04:05:06Z",
      "OS-EXT-STS:vm_state": "active",
      "OS-EXT-STS:task_state": null,
      "OS-EXT-STS:power_state": 1,
      image: "",
      flavor: { id: "" },
      addresses: {},
      metadata: {},
      "OS-EXT-SRV-ATTR:host": "host-1",
    });
  });

  it("tells the host to administrators alone", () => {
    expect(serverDetail(anInstance(), { ...HERE, admin: false })).not.to.have.property("OS-EXT-SRV-ATTR:host");
  });

  it("has no host id where there is no host", () => {
    expect(detailOf({ host: undefined })).to.include({ hostId: "", "OS-EXT-SRV-ATTR:host": null });
  });

  const statuses: [vmState: string, taskState: string, status: string][] = [
    ["active", "", "ACTIVE"],
    ["active", "rebooting", "REBOOT"],
    ["active", "reboot_started_hard", "HARD_REBOOT"],
    ["active", "migrating", "MIGRATING"],
    ["active", "resize_prep", "RESIZE"],
    ["active", "deleting", "ACTIVE"],
    ["building", "spawning", "BUILD"],
    ["stopped", "", "SHUTOFF"],
    ["stopped", "rebuilding", "REBUILD"],
    ["resized", "", "VERIFY_RESIZE"],
    ["resized", "resize_reverting", "REVERT_RESIZE"],
    ["paused", "migrating", "MIGRATING"],
    ["suspended", "", "SUSPENDED"],
    ["rescued", "", "RESCUE"],
    ["error", "", "ERROR"],
    ["soft-delete", "", "SOFT_DELETED"],
    ["shelved_offloaded", "", "SHELVED_OFFLOADED"],
    ["constructor", "constructor", "UNKNOWN"],
  ];
  for (const [vmState, taskState, status] of statuses) {
    it(`is ${status} where vm_state is ${vmState} and task_state is "${taskState}"`, () => {
      expect(detailOf({ vmState, taskState })).to.include({ status });
    });
  }

  const powers: [PowerState | undefined, status: string, vmState: string | null, power: number][] = [
    ["running", "ACTIVE", "active", 1],
    ["paused", "PAUSED", "paused", 3],
    ["incoming", "ACTIVE", "active", 3],
    ["shut-off", "SHUTOFF", "stopped", 4],
    ["saved", "SUSPENDED", "suspended", 4],
    ["crashed", "SHUTOFF", "stopped", 6],
    ["suspended", "ACTIVE", "active", 7],
    ["unknown", "UNKNOWN", null, 0],
    [undefined, "UNKNOWN", null, 0],
  ];
  for (const [powerState, status, vmState, power] of powers) {
    it(`is ${status} where nobody but the host tells, which says ${powerState ?? "nothing"}`, () => {
      expect(detailOf({ vmState: "", powerState })).to.include({
        status,
        "OS-EXT-STS:vm_state": vmState,
        "OS-EXT-STS:power_state": power,
      });
    });
  }
});
