// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { type ConsoleEvent, type ConsoleState, isOver, isTrying, next } from "../../../src/page/console-state.js";

const START: ConsoleState = { name: "connecting" };
const OPENED: ConsoleEvent = { type: "opened" };
const TRY: ConsoleEvent = { type: "try" };
const LOST: ConsoleEvent = { type: "failed", reason: "NETWORK" };

function after(...events: ConsoleEvent[]): ConsoleState {
  return events.reduce(next, START);
}

describe("the console's states", () => {
  it("connect", () => {
    expect(after(OPENED).name).to.equal("connected");
  });

  it("wait, then try, when the network is gone", () => {
    expect(after(OPENED, LOST)).to.deep.equal({
      name: "reconnecting",
      phase: "waiting",
      attempt: 1,
      reason: "NETWORK",
    });
    expect(after(OPENED, LOST, TRY)).to.include({ name: "reconnecting", phase: "trying" });
    expect(isTrying(after(OPENED, LOST, TRY))).to.equal(true);
    expect(after(OPENED, LOST, TRY, OPENED).name).to.equal("connected");
  });

  it("count the attempts that fail, also of the first connection", () => {
    expect(after(LOST, TRY, LOST, TRY, LOST)).to.include({ phase: "waiting", attempt: 3 });
  });

  it("count on after a connection that did not hold, and afresh after one that did", () => {
    expect(after(LOST, TRY, OPENED, LOST)).to.include({ attempt: 2 });
    expect(after(LOST, TRY, OPENED, { type: "steady" }, LOST)).to.include({ attempt: 1 });
  });

  it("end for good with the session", () => {
    const ended = after(OPENED, { type: "failed", reason: "INSTANCE_STOPPED" });
    expect(ended).to.deep.equal({ name: "ended", reason: "INSTANCE_STOPPED" });
    expect(isOver(ended)).to.equal(true);
    expect(next(ended, LOST)).to.equal(ended);
    expect(next(ended, OPENED)).to.equal(ended);
    expect(next(ended, { type: "ended", reason: "TERMINATED" })).to.equal(ended);
  });

  it("stop reconnecting when the server says that the session is over", () => {
    expect(after(OPENED, LOST, TRY, { type: "ended", reason: "ABANDONED" }).name).to.equal("ended");
  });

  it("stop reconnecting at a refusal that does not pass", () => {
    expect(after(OPENED, LOST, TRY, { type: "failed", reason: "SESSION_NOT_FOUND" }).name).to.equal("refused");
  });

  it("ask the person after another viewer took the display, and connect where they say so", () => {
    const closed = after(OPENED, { type: "failed", reason: "DISPLAY_CLOSED" });
    expect(closed.name).to.equal("ended");
    expect(next(closed, TRY)).to.deep.equal(START);
  });

  it("try by themselves when the display closes before it has opened", () => {
    expect(after({ type: "failed", reason: "DISPLAY_CLOSED" })).to.include({ name: "reconnecting", attempt: 1 });
  });

  it("try a refused token again only where the person asks, even if the reason passes", () => {
    const refused = after({ type: "refused", reason: "AGENT_UNAVAILABLE" });
    expect(refused).to.deep.equal({ name: "refused", reason: "AGENT_UNAVAILABLE" });
    expect(next(refused, TRY)).to.deep.equal(START);
  });

  it("ignore an attempt that opens after it was given up, and a wait while connected", () => {
    const waiting = after(OPENED, LOST);
    expect(next(waiting, OPENED)).to.equal(waiting);
    const connected = after(OPENED);
    expect(next(connected, TRY)).to.equal(connected);
  });
});
