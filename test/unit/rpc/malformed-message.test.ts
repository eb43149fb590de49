// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { LookupConsoleTokenRequest } from "../../../proto/gen/spicegate/console/v1/console.js";
import { ConsoleServiceService } from "../../../proto/gen/spicegate/console/v1/console.js";
import { MalformedMessage, withMalformedMessages } from "../../../src/rpc/malformed-message.js";

describe("MalformedMessage", () => {
  const decode = withMalformedMessages(ConsoleServiceService).lookupConsoleToken.requestDeserialize;

  it("takes the place of a message that cannot be read", () => {
    const request: unknown = decode(Buffer.from([0xff]));
    if (!(request instanceof MalformedMessage)) throw new Error("it was read");
    expect(request.error.reason).to.equal("INVALID_ARGUMENT");
  });

  it("leaves alone what can be read", () => {
    const bytes = Buffer.from(LookupConsoleTokenRequest.encode({ token: "t" }).finish());
    expect(decode(bytes)).to.deep.equal({ token: "t" });
  });
});
