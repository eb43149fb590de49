// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { getSpiceEndpoint } from "../../../agent/get-spice-endpoint.js";
import type { DomainDisplay, DomainState } from "../../../agent/hypervisor.js";
import type { SpiceEndpoint } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { ListenKind } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FAKE_INFO, FakeHypervisor } from "../../fakes/fake-hypervisor.js";
import { rejectionOf } from "../../harness/rejection.js";

describe("GetSpiceEndpoint on the agent", () => {
  let hypervisor: FakeHypervisor;
  let enabled: boolean;

  beforeEach(() => {
    hypervisor = new FakeHypervisor();
    enabled = true;
  });

  function ask(): Promise<SpiceEndpoint> {
    const settings = { enabled, server_proxyclient_address: "192.0.2.7" };
    return getSpiceEndpoint({ hypervisor, settings }, uuidOf(1), { ms: 1_000 });
  }

  async function reason(): Promise<string> {
    return reasonOf(await rejectionOf(ask()));
  }

  function put(state: DomainState, ...displays: DomainDisplay[]): void {
    hypervisor.put(aDomain(1, { state, displays }));
  }

  const spice: DomainDisplay = { kind: "spice", listen: "address", port: 5_901 };

  it("answers with the host's proxy address and the ports of the display", async () => {
    put("running", { kind: "spice", listen: "address", port: 5_901, tlsPort: 5_902 });
    expect(await ask()).to.deep.equal({
      host: "192.0.2.7",
      listen: ListenKind.LISTEN_KIND_ADDRESS,
      port: 5_901,
      tlsPort: 5_902,
      internalAccessPath: "",
    });
  });

  it("takes the first SPICE display among others", async () => {
    put("running", { kind: "vnc", listen: "address", port: 5_900 }, spice, { ...spice, port: 5_999 });
    expect((await ask()).port).to.equal(5_901);
  });

  it("serves a domain that a user has paused", async () => {
    put("paused", spice);
    expect((await ask()).port).to.equal(5_901);
  });

  it("serves a display that has only a TLS port", async () => {
    put("running", { kind: "spice", listen: "network", tlsPort: 5_902 });
    expect(await ask()).to.include({ listen: ListenKind.LISTEN_KIND_NETWORK, port: 0, tlsPort: 5_902 });
  });

  it("serves displays that have no port by nature", async () => {
    put("running", { kind: "spice", listen: "none" });
    expect(await ask()).to.include({ listen: ListenKind.LISTEN_KIND_NONE, port: 0, tlsPort: 0 });
    put("running", { kind: "spice", listen: "socket" });
    expect(await ask()).to.include({ listen: ListenKind.LISTEN_KIND_SOCKET, port: 0, tlsPort: 0 });
  });

  it("refuses first of all where SPICE is disabled, even while the hypervisor is away", async () => {
    enabled = false;
    hypervisor.setStatus({ available: false, info: { ...FAKE_INFO, spice: false }, detail: "away" });
    expect(await reason()).to.equal("SPICE_DISABLED");
    expect(hypervisor.asked).to.equal(0);
  });

  it("refuses on a host without SPICE before it looks for the domain", async () => {
    hypervisor.setStatus({ available: true, info: { ...FAKE_INFO, spice: false }, detail: "" });
    expect(await reason()).to.equal("HOST_LACKS_SPICE");
    expect(hypervisor.asked).to.equal(0);
  });

  it("does not find a domain that does not exist", async () => {
    expect(await reason()).to.equal("INSTANCE_NOT_FOUND");
  });

  for (const state of ["shut-off", "saved", "crashed", "suspended", "incoming", "unknown"] as const) {
    it(`calls a domain in state ${state} not running, display or no display`, async () => {
      put(state, spice);
      expect(await reason()).to.equal("INSTANCE_NOT_RUNNING");
      put(state);
      expect(await reason()).to.equal("INSTANCE_NOT_RUNNING");
    });
  }

  it("says so where there is no SPICE display", async () => {
    put("running", { kind: "vnc", listen: "address", port: 5_900 });
    expect(await reason()).to.equal("NO_SPICE_DISPLAY");
  });

  it("takes a network display without any port for one of a domain that is not running", async () => {
    put("running", { kind: "spice", listen: "address" });
    expect(await reason()).to.equal("INSTANCE_NOT_RUNNING");
    put("running", { kind: "spice", listen: "network" });
    expect(await reason()).to.equal("INSTANCE_NOT_RUNNING");
  });
});
