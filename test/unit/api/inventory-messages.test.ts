// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Instance as InstanceMessage } from "../../../proto/gen/spicegate/inventory/v1/inventory.js";
import {
  DisplayKind,
  Instance,
  ListInstancesRequest,
  PowerState,
} from "../../../proto/gen/spicegate/inventory/v1/inventory.js";
import {
  changesFrom,
  filtersFrom,
  messageFromHost,
  messageFromInstanceStep,
  messageFromInstance,
  registrationFrom,
} from "../../../src/api/inventory-messages.js";
import type { PowerState as Power } from "../../../src/instances/instance.js";

const UUID = "0a000000-0000-4000-8000-00000000000f";
const FULL: InstanceMessage = {
  instanceUuid: UUID.toUpperCase(),
  name: "Ana\u202e's",
  projectId: "p",
  userId: "u",
  host: "h",
  powerState: PowerState.POWER_STATE_RUNNING,
  vmState: "active",
  taskState: "rebooting",
  displays: [DisplayKind.DISPLAY_KIND_SPICE],
  registered: true,
  createdAt: undefined,
  updatedAt: undefined,
};

/** The field that an error of `decode` names. */
function fieldOf(decode: () => unknown): string | undefined {
  try {
    decode();
  } catch (error) {
    return (error as { metadata?: Record<string, string> }).metadata?.["field"];
  }
  throw new Error("expected an error");
}

describe("registrationFrom", () => {
  it("takes the orchestrator's half, lowers the uuid and leaves the output-only fields out", () => {
    expect(registrationFrom(FULL)).to.deep.equal({
      uuid: UUID,
      name: "Ana\u202e's",
      projectId: "p",
      userId: "u",
      host: "h",
      vmState: "active",
      taskState: "rebooting",
    });
  });

  it("names the field that is wrong", () => {
    const wrong = (more: Partial<InstanceMessage>): string | undefined =>
      fieldOf(() => registrationFrom({ ...FULL, ...more }));
    expect(fieldOf(() => registrationFrom(undefined))).to.equal("instance");
    expect(wrong({ instanceUuid: "x" })).to.equal("instance.instance_uuid");
    expect(wrong({ name: "a\0" })).to.equal("instance.name");
    expect(wrong({ name: "a".repeat(256) })).to.equal("instance.name");
    expect(wrong({ projectId: "a\u202e" })).to.equal("instance.project_id");
    expect(wrong({ userId: "\n" })).to.equal("instance.user_id");
    expect(wrong({ host: "a".repeat(254) })).to.equal("instance.host");
    expect(wrong({ vmState: "\u0007" })).to.equal("instance.vm_state");
    expect(wrong({ taskState: "a".repeat(256) })).to.equal("instance.task_state");
  });
});

describe("changesFrom", () => {
  it("takes the masked fields only, empty ones too", () => {
    const instance = { ...FULL, host: "" };
    const updateMask = ["host", "task_state", "vm_state", "project_id", "user_id"];
    expect(changesFrom({ instance, updateMask })).to.deep.equal({
      uuid: UUID,
      changes: { host: "", taskState: "rebooting", vmState: "active", projectId: "p", userId: "u" },
    });
  });

  it("refuses an empty mask and fields that nobody may set", () => {
    for (const updateMask of [undefined, [], ["powerState"], ["instance_uuid"], ["__proto__"], ["name", ""]]) {
      expect(fieldOf(() => changesFrom({ instance: FULL, updateMask }))).to.equal("update_mask");
    }
  });
});

describe("filtersFrom", () => {
  const filters = (request: Partial<ListInstancesRequest>): ReturnType<typeof filtersFrom> =>
    filtersFrom(ListInstancesRequest.fromPartial(request));

  it("takes what is empty as no filter", () => {
    const any = { projectId: undefined, host: undefined, name: undefined, powerState: undefined };
    expect(filters({})).to.deep.equal(any);
    expect(filters({ name: "n", powerState: PowerState.POWER_STATE_SHUT_OFF })).to.deep.equal({
      ...any,
      name: "n",
      powerState: "shut-off",
    });
  });

  it("refuses a power state that it does not know", () => {
    expect(fieldOf(() => filters({ powerState: 99 as PowerState }))).to.equal("power_state");
  });
});

describe("messageFromInstance", () => {
  const at = new Date("2030-01-01T00:00:00Z");
  const message = (powerState: Power | undefined): InstanceMessage =>
    messageFromInstance({
      ...registrationFrom(FULL),
      host: undefined,
      registered: false,
      claimed: false,
      powerState,
      displays: ["vnc", "unknown", "spice"],
      conflictHost: undefined,
      revision: 1n,
      createdAt: at,
      updatedAt: at,
      deleted: false,
    });

  it("says what is stored, an absent host as an empty one", () => {
    expect(message("running")).to.deep.equal({
      ...FULL,
      instanceUuid: UUID,
      host: "",
      displays: [DisplayKind.DISPLAY_KIND_VNC, DisplayKind.DISPLAY_KIND_UNSPECIFIED, DisplayKind.DISPLAY_KIND_SPICE],
      registered: false,
      createdAt: at,
      updatedAt: at,
    });
    expect(Instance.decode(Instance.encode(message("running")).finish()).createdAt).to.deep.equal(at);
  });

  it("has a word for each power state", () => {
    const states = ["running", "paused", "shut-off", "saved", "crashed", "suspended", "incoming"] as const;
    expect(states.map((state) => message(state).powerState)).to.deep.equal([1, 2, 3, 4, 5, 6, 7]);
    expect([message("unknown"), message(undefined)].map(({ powerState }) => powerState)).to.deep.equal([0, 0]);
  });
});

describe("messageFromInstanceStep", () => {
  it("says what happened, with the number of the message", () => {
    const removed = messageFromInstanceStep({ kind: "removed", uuid: "u" }, 7n);
    expect(removed).to.deep.equal({ revision: 7n, event: { $case: "removed", removed: { instanceUuid: "u" } } });
    const synced = messageFromInstanceStep({ kind: "synced" }, 8n);
    expect(synced).to.deep.equal({ revision: 8n, event: { $case: "synced", synced: {} } });
  });
});

describe("messageFromHost", () => {
  it("flattens the hypervisor into the host", () => {
    const lastSeenAt = new Date(0);
    const hypervisor = { available: true, detail: "", spice: true, vnc: false, graphicsFd: true };
    const versions = { libvirtVersion: "9.0.0", hypervisorVersion: "7.2.22" };
    const host = { host: "h", agentVersion: "1", connected: true, inventoryComplete: false };
    const counts = { instanceCount: 3, connectedControllers: 2 };
    expect(
      messageFromHost({ ...host, ...counts, generation: 4n, hypervisor: { ...hypervisor, ...versions }, lastSeenAt }),
    ).to.deep.equal({
      ...host,
      ...counts,
      ...versions,
      hypervisorAvailable: true,
      spice: true,
      vnc: false,
      lastSeenAt,
    });
  });
});
