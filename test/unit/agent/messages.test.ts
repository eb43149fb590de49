// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import {
  domainFromDescription,
  encodeMessage,
  eventFromChange,
  failure,
  failureNameOf,
  statusFromHypervisor,
} from "../../../agent/messages.js";
import {
  DisplayKind,
  DomainEventKind,
  DomainState,
  FailureReason,
} from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { MAX_MESSAGE_BYTES, SNAPSHOT_PAGE_DOMAINS } from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";

// Four bytes each in UTF-8, two units each in UTF-16.
const wide = (count: number): string => "🖥".repeat(count);

describe("Agent messages", () => {
  it("show a domain with its displays in order and its owner", () => {
    const owner = { name: "web", projectId: "p", userId: "u" };
    const displays = [
      { kind: "other", listen: "none" },
      { kind: "vnc", listen: "address", port: 5900 },
      { kind: "spice", listen: "none" },
    ] as const;
    expect(domainFromDescription(aDomain(1, { state: "paused", displays, owner }))).to.deep.equal({
      instanceUuid: uuidOf(1),
      name: "instance-1",
      state: DomainState.DOMAIN_STATE_PAUSED,
      displays: [DisplayKind.DISPLAY_KIND_UNSPECIFIED, DisplayKind.DISPLAY_KIND_VNC, DisplayKind.DISPLAY_KIND_SPICE],
      owner,
    });
  });

  it("cut names to 255 characters without splitting one, and drop NUL", () => {
    expect(domainFromDescription(aDomain(1, { name: wide(300) })).name).to.equal(wide(255));
    expect(domainFromDescription(aDomain(1, { name: "a\0b" })).name).to.equal("ab");
  });

  it("keep a page of the longest domains below the limit of a message", () => {
    const owner = { name: wide(999), projectId: wide(999), userId: wide(999) };
    const displays = Array.from({ length: 50_000 }, () => ({ kind: "spice", listen: "none" }) as const);
    const domains = Array.from({ length: SNAPSHOT_PAGE_DOMAINS }, (_, index) =>
      domainFromDescription(aDomain(index, { name: wide(999), owner, displays })),
    );
    const inventorySnapshot = { sequence: 2n ** 64n - 1n, domains, lastPage: true };
    const bytes = encodeMessage({ $case: "inventorySnapshot", inventorySnapshot });
    expect(bytes.length).to.be.within(MAX_MESSAGE_BYTES / 2, MAX_MESSAGE_BYTES);
  });

  it("say of a change what the domain is after it", () => {
    const change = { kind: "stopped", uuid: uuidOf(1), name: "old-name" } as const;
    const event = eventFromChange(5n, change, aDomain(1, { state: "shut-off" }));
    expect(event).to.deep.include({ sequence: 5n, kind: DomainEventKind.DOMAIN_EVENT_KIND_STOPPED });
    expect(event.domain).to.include({ name: "instance-1", state: DomainState.DOMAIN_STATE_SHUT_OFF });
  });

  it("call a domain that is gone undefined, whatever happened, with uuid and name alone", () => {
    const event = eventFromChange(5n, { kind: "stopped", uuid: uuidOf(1), name: "gone" }, undefined);
    expect(event.kind).to.equal(DomainEventKind.DOMAIN_EVENT_KIND_UNDEFINED);
    expect(event.domain).to.deep.equal({
      instanceUuid: uuidOf(1),
      name: "gone",
      state: DomainState.DOMAIN_STATE_UNSPECIFIED,
      displays: [],
      owner: undefined,
    });
  });

  it("do not call a running domain undefined that only lost its definition", () => {
    const event = eventFromChange(5n, { kind: "undefined", uuid: uuidOf(1), name: "n" }, aDomain(1));
    expect(event.kind).to.equal(DomainEventKind.DOMAIN_EVENT_KIND_DEFINED);
    expect(event.domain?.state).to.equal(DomainState.DOMAIN_STATE_RUNNING);
  });

  it("count display kinds as present until libvirt has said otherwise, and no graphics descriptor yet", () => {
    const { capabilities } = statusFromHypervisor({ available: false, info: undefined, detail: "away" });
    expect(capabilities).to.deep.equal({ spice: true, vnc: true, graphicsFd: false });
    const info = { libvirtVersion: "9.0.0", hypervisorVersion: "7.2.22", spice: false, vnc: false, graphicsFd: true };
    expect(statusFromHypervisor({ available: true, info, detail: "" })).to.deep.equal({
      available: true,
      libvirtVersion: "9.0.0",
      hypervisorVersion: "7.2.22",
      capabilities: { spice: false, vnc: false, graphicsFd: true },
      detail: "",
    });
  });

  it("name a failure by its reason, and INTERNAL where the protocol has no word", () => {
    expect(failureNameOf(new ServiceError("TARGET_CHANGED", "x"))).to.equal("TARGET_CHANGED");
    expect(failureNameOf(new ServiceError("TARGET_REFUSED", "x"))).to.equal("TARGET_REFUSED");
    expect(failureNameOf(new ServiceError("TOKEN_USED", "x"))).to.equal("INTERNAL");
    expect(failureNameOf(new TypeError("x"))).to.equal("INTERNAL");
    expect(failure("LIMITED", "x".repeat(2_000))).to.deep.equal({
      reason: FailureReason.FAILURE_REASON_LIMITED,
      message: "x".repeat(1_024),
    });
  });
});
