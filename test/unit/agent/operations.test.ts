// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ControllerCredentials } from "../../../agent/controller-credentials.js";
import { DisplayTunnels } from "../../../agent/display-tunnels.js";
import { failureNameOf } from "../../../agent/messages.js";
import type { Operation, Result } from "../../../agent/operations.js";
import { createOperations } from "../../../agent/operations.js";
import { systemClock } from "../../../src/lib/clock.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FakeHypervisor } from "../../fakes/fake-hypervisor.js";
import { rejectionOf } from "../../harness/rejection.js";

describe("The operations of the agent", () => {
  const hypervisor = new FakeHypervisor();
  hypervisor.put(aDomain(1));
  const settings = { enabled: true, server_proxyclient_address: "127.0.0.1" };
  const perform = createOperations({
    hypervisor,
    settings,
    tunnels: new DisplayTunnels(systemClock, new ControllerCredentials()),
  });
  const ask = (operation: Operation): Promise<Result> => perform(operation, { ms: 1_000 });

  it("accept a uuid in upper case", async () => {
    const instanceUuid = uuidOf(1).toUpperCase();
    expect((await ask({ $case: "getSpiceEndpoint", getSpiceEndpoint: { instanceUuid } })).$case).to.equal(
      "spiceEndpoint",
    );
    const validateConsolePort = { instanceUuid, port: 5_901, tlsPort: 0 };
    expect(await ask({ $case: "validateConsolePort", validateConsolePort })).to.deep.equal({
      $case: "consolePortValid",
      consolePortValid: {},
    });
  });

  it("refuse a malformed uuid without asking the hypervisor", async () => {
    const asked = hypervisor.asked;
    const getSpiceEndpoint = { instanceUuid: "../../etc/passwd" };
    const validateConsolePort = { instanceUuid: "", port: 1, tlsPort: 0 };
    for (const operation of [
      { $case: "getSpiceEndpoint", getSpiceEndpoint },
      { $case: "validateConsolePort", validateConsolePort },
    ] as const) {
      expect(reasonOf(await rejectionOf(ask(operation)))).to.equal("INVALID_ARGUMENT");
    }
    expect(hypervisor.asked).to.equal(asked);
  });

  it("refuse a malformed OpenDisplay before anything is opened", async () => {
    const asked = hypervisor.asked;
    const wellFormed = { instanceUuid: uuidOf(1), tunnelAddress: "127.0.0.1:1", tunnelSecret: "s" };
    for (const wrong of [
      { instanceUuid: "x" },
      ...["", "127.0.0.1", "192.0.2.1:80", "example.org:80"].map((tunnelAddress) => ({ tunnelAddress })),
      ...["", "a b", "a\r\nb", "x".repeat(129)].map((tunnelSecret) => ({ tunnelSecret })),
    ]) {
      const openDisplay = { ...wellFormed, ...wrong };
      const error = await rejectionOf(ask({ $case: "openDisplay", openDisplay }));
      expect(reasonOf(error), JSON.stringify(wrong)).to.equal("INVALID_ARGUMENT");
    }
    expect(hypervisor.asked).to.equal(asked);
  });

  it("answer UNIMPLEMENTED to what they do not know", async () => {
    expect(failureNameOf(await rejectionOf(ask(undefined)))).to.equal("UNIMPLEMENTED");
  });
});
