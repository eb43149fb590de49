// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { TICKET_BYTES, wholeTicket } from "../../../src/page/ticket.js";

describe("wholeTicket", () => {
  const bytes = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

  it("gives back the leading zeros that a number loses", () => {
    expect(wholeTicket(bytes(TICKET_BYTES - 2))).to.deep.equal([0, 0, ...bytes(TICKET_BYTES - 2)]);
  });

  it("leaves a whole one as it is", () => {
    expect(wholeTicket(bytes(TICKET_BYTES))).to.deep.equal(bytes(TICKET_BYTES));
  });
});
