// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { randomBytes } from "node:crypto";
import { SLOW_ANSWER_MS } from "../../../src/lib/limits.js";
import type { FailedAttempts } from "../../../src/rpc/failed-attempts.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { callLimits } from "../../harness/call-limits.js";
import { COOKIE, FakeEntrance, PageFolder, ProxyUnderTest, SESSION_ID } from "./proxy-harness.js";

const BALANCER = { trustedProxies: ["127.0.0.1"] };
const MOST = 2;
const SHUT = "192.0.2.1";
const OTHER = "192.0.2.2";

describe("failed redemptions", () => {
  let proxy: ProxyUnderTest;
  let entrance: FakeEntrance;
  let asked: number;
  let web: PageFolder;

  beforeEach(async () => {
    const clock = new FakeClock();
    const { redemptions } = callLimits({ failed_redemptions_per_address: MOST }, { clock });
    entrance = new FakeEntrance();
    web = new PageFolder({ "spice_auto.html": "<!doctype html>" });
    asked = 0;
    const counting: Pick<FailedAttempts, "guard"> = {
      guard: (attempt, work) =>
        redemptions.guard(attempt, () => {
          asked += 1;
          return work();
        }),
    };
    proxy = await new ProxyUnderTest({
      ...BALANCER,
      redemptions: counting,
      compat: { entrance, web: web.path },
    }).start();
    // The second answer is held back.
    const passing = setInterval(() => clock.waiting > 0 && clock.advance(SLOW_ANSWER_MS), 5);
    for (let tries = 0; tries < MOST; tries += 1) {
      expect((await proxy.redeem("bad", from(SHUT))).status).to.equal(401);
    }
    clearInterval(passing);
  });
  afterEach(async () => {
    await proxy.stop();
    web[Symbol.dispose]();
  });

  const from = (address: string): Record<string, string> => ({ "x-forwarded-for": address });

  it("shut an address out, whatever it brings, and say when to come again", async () => {
    const response = await proxy.redeem("good", from(SHUT));
    expect(response.status).to.equal(429);
    expect(Number(response.headers.get("retry-after"))).to.be.within(1, 60);
    expect(await response.json()).to.include({ reason: "LIMITED", limit: "failed_redemptions_per_address" });
    expect(await proxy.upgradeAnswer(from(SHUT))).to.equal("429 LIMITED");
    expect(await proxy.upgradeAnswer(from(SHUT), "/any?token=good")).to.equal("429 LIMITED");
    const headers = { ...from(SHUT), cookie: COOKIE, origin: proxy.origin };
    expect((await proxy.fetch(`/s/${SESSION_ID}/`, { method: "DELETE", headers })).status).to.equal(429);
    expect(await (await proxy.fetch(`/s/${SESSION_ID}/status`, { headers })).json()).to.include({
      state: "refused",
      reason: "LIMITED",
    });
    expect(asked, "asked for what").to.equal(MOST);
    expect(entrance.entered).to.deep.equal([]);
  });

  it("are no concern of other addresses", async () => {
    expect((await proxy.redeem("good", from(OTHER))).status).to.equal(201);
    expect(await proxy.upgradeAnswer(from(OTHER))).to.equal("101");
    expect(await proxy.upgradeAnswer(from(OTHER), "/any?token=good")).to.equal("101");
  });

  it("count cookies and tokens of every kind", async () => {
    const wrong = { ...from(OTHER), cookie: `spicegate_session=${randomBytes(32).toString("base64url")}` };
    expect(await proxy.upgradeAnswer(wrong)).to.equal("404 SESSION_NOT_FOUND");
    expect((await proxy.redeem("good", from(OTHER))).status).to.equal(201);
    expect(asked).to.equal(MOST + 2);
  });
});
