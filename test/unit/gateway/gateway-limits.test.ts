// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { callLimits } from "../../harness/call-limits.js";
import { faultOf } from "../../harness/rest-client.js";
import { CALLER, callersFrom, GatewayUnderTest } from "./gateway-harness.js";

const BURST = 3;

describe("gateway within limits", () => {
  let gateway: GatewayUnderTest;

  beforeEach(async () => {
    const isFree = (address: string): boolean => address === "127.0.0.1";
    const limits = callLimits({ requests_per_address: 1, address_burst: BURST }, { isFree });
    const callers = callersFrom({ identify: () => CALLER }, limits);
    gateway = await new GatewayUnderTest({ callers, trustedProxies: ["127.0.0.1"] }).start();
  });
  afterEach(() => gateway.server.stop());

  const listFrom = (address: string): ReturnType<GatewayUnderTest["rest"]["get"]> =>
    gateway.rest.get("/v2.1/servers", { headers: { "x-forwarded-for": address } });

  it("refuses in Nova's words, with the time to wait", async () => {
    for (let count = 0; count < BURST; count += 1) expect((await listFrom("192.0.2.1")).status).to.equal(200);
    const refused = await listFrom("192.0.2.1");
    expect(faultOf(refused)).to.include({ name: "overLimit", code: 429 });
    expect(refused.headers.get("retry-after")).to.equal("1");
    expect((await listFrom("192.0.2.2")).status).to.equal(200);
  });

  it("does not count what a balancer asks for itself", async () => {
    for (let count = 0; count <= BURST; count += 1)
      expect((await gateway.rest.get("/v2.1/servers")).status).to.equal(200);
  });

  it("leaves no line for each that it refuses", async () => {
    for (let count = 0; count < 10; count += 1) await listFrom("192.0.2.1");
    expect(gateway.fake.at("info").filter(({ reason }) => reason === "LIMITED")).to.deep.equal([]);
  });
});
