// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Domain, Hello } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { DisplayKind, DomainEventKind, DomainState } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { changeFrom, domainsFrom, hostHelloFrom, hypervisorReportFrom } from "../../../src/api/agent-messages.js";
import type { ReportedDomain } from "../../../src/instances/host.js";
import { SNAPSHOT_PAGE_DOMAINS } from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";

const UUID = "00000000-0000-4000-8000-000000000001";
const HELLO: Hello = {
  host: "host-1",
  processId: "0123456789abcdef".repeat(2),
  generation: 0n,
  agentVersion: "1.0",
  minProtocolVersion: 1,
  maxProtocolVersion: 1,
  hypervisor: undefined,
};
const DOMAIN: Domain = {
  instanceUuid: UUID,
  name: "instance-1",
  state: DomainState.DOMAIN_STATE_RUNNING,
  displays: [DisplayKind.DISPLAY_KIND_SPICE],
  owner: undefined,
};

const page = (...domains: Domain[]): ReportedDomain[] => domainsFrom({ sequence: 1n, domains, lastPage: true });
const refuses = (decode: () => unknown, field: string): void => {
  expect(decode).to.throw(ServiceError).that.deep.includes({ reason: "INVALID_ARGUMENT", metadata: { field } });
};

describe("hostHelloFrom", () => {
  it("takes a Hello, with a hypervisor that it says nothing of as one that is not available", () => {
    expect(hostHelloFrom(HELLO)).to.deep.equal({
      host: "host-1",
      processId: HELLO.processId,
      agentVersion: "1.0",
      hypervisor: {
        available: false,
        libvirtVersion: "",
        hypervisorVersion: "",
        detail: "",
        spice: true,
        vnc: true,
        graphicsFd: false,
      },
    });
  });

  it("refuses a process id that is not 128 bits, and hosts without or with strange names", () => {
    for (const processId of ["", "A".repeat(32), "0".repeat(33)]) {
      refuses(() => hostHelloFrom({ ...HELLO, processId }), "process_id");
    }
    for (const host of ["", "a\u202eb", "a\nb", "a".repeat(254)])
      refuses(() => hostHelloFrom({ ...HELLO, host }), "host");
    refuses(() => hostHelloFrom({ ...HELLO, agentVersion: "a".repeat(256) }), "agent_version");
  });
});

describe("hypervisorReportFrom", () => {
  it("believes what the capabilities say", () => {
    const capabilities = { spice: false, vnc: false, graphicsFd: true };
    const texts = { libvirtVersion: "9.0.0", hypervisorVersion: "7.2.22", detail: "it\nwent" };
    const report = hypervisorReportFrom({ available: true, capabilities, ...texts });
    expect(report).to.deep.equal({ available: true, ...capabilities, ...texts });
  });

  it("refuses texts beyond their limits", () => {
    const status = { available: true, libvirtVersion: "", hypervisorVersion: "", capabilities: undefined, detail: "" };
    refuses(() => hypervisorReportFrom({ ...status, detail: "a".repeat(1_025) }), "detail");
    refuses(() => hypervisorReportFrom({ ...status, libvirtVersion: "\n" }), "libvirt_version");
    refuses(() => hypervisorReportFrom({ ...status, hypervisorVersion: "a".repeat(256) }), "hypervisor_version");
  });
});

describe("domainsFrom", () => {
  it("has a word for each state and each kind of display, and one for what it does not know", () => {
    const states = [1, 2, 3, 4, 5, 6, 7, 0, 99].map((state) => page({ ...DOMAIN, state: state as DomainState })[0]);
    expect(states.map((domain) => domain?.powerState)).to.deep.equal([
      "running",
      "paused",
      "shut-off",
      "saved",
      "crashed",
      "suspended",
      "incoming",
      "unknown",
      "unknown",
    ]);
    const displays = [1, 2, 0, 99] as DisplayKind[];
    expect(page({ ...DOMAIN, displays })[0]?.displays).to.deep.equal(["spice", "vnc", "unknown", "unknown"]);
  });

  it("takes the owner where there is one", () => {
    const owner = { name: "Ana\u202e's", projectId: "p", userId: "u" };
    const [without, with_] = page(DOMAIN, { ...DOMAIN, owner });
    expect(without?.owner).to.equal(undefined);
    expect(with_?.owner).to.deep.equal(owner);
  });

  it("refuses a page that is too long, and domains that are malformed", () => {
    const owner = { name: "", projectId: "", userId: "" };
    refuses(() => page(...Array.from({ length: SNAPSHOT_PAGE_DOMAINS + 1 }, () => DOMAIN)), "domains");
    refuses(() => page({ ...DOMAIN, instanceUuid: `${UUID}0` }), "instance_uuid");
    refuses(() => page({ ...DOMAIN, instanceUuid: "0A000000-0000-4000-8000-000000000001" }), "instance_uuid");
    refuses(() => page({ ...DOMAIN, name: "a\0" }), "name");
    refuses(() => page({ ...DOMAIN, displays: Array.from({ length: 17 }, () => 1 as const) }), "displays");
    refuses(() => page({ ...DOMAIN, owner: { ...owner, name: "a".repeat(256) } }), "owner.name");
    refuses(() => page({ ...DOMAIN, owner: { ...owner, projectId: "\u0001" } }), "owner.project_id");
    refuses(() => page({ ...DOMAIN, owner: { ...owner, userId: "\u2066" } }), "owner.user_id");
  });
});

describe("changeFrom", () => {
  it("has a word for each kind", () => {
    const kinds = [1, 2, 3, 4, 5, 6, 7, 8].map(
      (kind) => changeFrom({ sequence: 1n, kind: kind as DomainEventKind, domain: DOMAIN })?.kind,
    );
    expect(kinds).to.deep.equal([
      "started",
      "stopped",
      "crashed",
      "suspended",
      "resumed",
      "defined",
      "undefined",
      "migrated",
    ]);
  });

  it("is nothing for a kind that it does not know, and refuses one without its domain", () => {
    expect(changeFrom({ sequence: 1n, kind: 99 as DomainEventKind, domain: undefined })).to.equal(undefined);
    const kind = DomainEventKind.DOMAIN_EVENT_KIND_STARTED;
    refuses(() => changeFrom({ sequence: 1n, kind, domain: undefined }), "domain");
  });
});
