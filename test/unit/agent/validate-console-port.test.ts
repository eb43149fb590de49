// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { DomainDisplay } from "../../../agent/hypervisor.js";
import { portsMatch, validateConsolePort } from "../../../agent/validate-console-port.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FakeHypervisor } from "../../fakes/fake-hypervisor.js";
import { rejectionOf } from "../../harness/rejection.js";

const both: DomainDisplay = { kind: "spice", listen: "address", port: 5_900, tlsPort: 5_901 };
const none: DomainDisplay = { kind: "spice", listen: "none" };

describe("ValidateConsolePort on the agent", () => {
  it("compares each port that the token has", () => {
    expect(portsMatch(both, { port: 5_900, tlsPort: 5_901 })).to.equal(true);
    expect(portsMatch(both, { port: 5_900, tlsPort: 0 })).to.equal(true);
    expect(portsMatch(both, { port: 0, tlsPort: 5_901 })).to.equal(true);
    expect(portsMatch(both, { port: 5_900, tlsPort: 1 })).to.equal(false);
    expect(portsMatch(both, { port: 1, tlsPort: 5_901 })).to.equal(false);
    expect(portsMatch(none, { port: 5_900, tlsPort: 0 })).to.equal(false);
  });

  it("wants a display without ports for a token without ports", () => {
    expect(portsMatch(none, { port: 0, tlsPort: 0 })).to.equal(true);
    expect(portsMatch(both, { port: 0, tlsPort: 0 })).to.equal(false);
    expect(portsMatch({ kind: "spice", listen: "address", tlsPort: 1 }, { port: 0, tlsPort: 0 })).to.equal(false);
  });

  it("fails with TARGET_CHANGED, after the checks of GetSpiceEndpoint", async () => {
    const hypervisor = new FakeHypervisor();
    const source = { hypervisor, settings: { enabled: true, server_proxyclient_address: "127.0.0.1" } };
    const validate = (port: number): Promise<void> =>
      validateConsolePort(source, uuidOf(1), { port, tlsPort: 0 }, { ms: 1_000 });
    expect(reasonOf(await rejectionOf(validate(5_900)))).to.equal("INSTANCE_NOT_FOUND");
    hypervisor.put(aDomain(1, { displays: [both] }));
    await validate(5_900);
    expect(reasonOf(await rejectionOf(validate(5_999)))).to.equal("TARGET_CHANGED");
  });
});
