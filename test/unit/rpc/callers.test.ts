// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import { ServiceError } from "../../../src/lib/service-error.js";
import type { Caller } from "../../../src/rpc/caller.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import type { CallerSource } from "../../../src/rpc/callers.js";
import { bearerTokenIn, Callers, unknownToken } from "../../../src/rpc/callers.js";
import { createCallMetrics } from "../../../src/telemetry/controller-metrics.js";
import { rejectionOf } from "../../harness/rejection.js";

const ONE: Caller = { subject: "one", project: "", roles: ["member"] };
const OTHER: Caller = { subject: "other", project: "", roles: ["member"] };
const SIGNAL = new AbortController().signal;

describe("Callers", () => {
  let registry: Registry;

  beforeEach(() => {
    registry = new Registry();
  });

  function callers(...answers: CallerSource["identify"][]): Callers {
    const sources = answers.map((identify) => ({ identify }));
    return new Callers({ sources, entrance: "rest", metrics: createCallMetrics(registry) });
  }
  const failures = async (): Promise<number> =>
    Number(/failures_total\{entrance="rest"\} (\d+)/.exec(await registry.metrics())?.[1] ?? 0);

  it("believes the first source that knows the credentials", async () => {
    const known = callers(
      () => NOBODY,
      () => Promise.resolve(ONE),
      () => OTHER,
    );
    expect(await known.identify({ token: "t", address: "" }, SIGNAL)).to.equal(ONE);
    expect(await failures()).to.equal(0);
  });

  it("asks no other source after one that refuses what is its own", async () => {
    const known = callers(
      () => {
        throw unknownToken();
      },
      () => OTHER,
    );
    const error = await rejectionOf(known.identify({ token: "t", address: "" }, SIGNAL));
    expect(error).to.have.property("reason", "UNAUTHENTICATED");
    expect(await failures()).to.equal(1);
  });

  it("refuses whom nobody knows, counts it, and says what to do where nothing was shown", async () => {
    const none = callers(() => NOBODY);
    const shown = await rejectionOf(none.identify({ token: "t", address: "" }, SIGNAL));
    expect(shown).to.have.property("reason", "UNAUTHENTICATED");
    expect(shown.message).not.to.contain("spicegate user token");
    const nothing = await rejectionOf(none.identify({ token: undefined, address: "" }, SIGNAL));
    expect(nothing.message).to.contain("spicegate user token").and.contain("X-Auth-Token");
    expect(await failures()).to.equal(2);
  });

  it("passes on that a source cannot tell, which is nobody's failure", async () => {
    const away = callers(
      () => Promise.reject(new ServiceError("DATABASE_UNAVAILABLE", "away")),
      () => OTHER,
    );
    const error = await rejectionOf(away.identify({ token: "t", address: "" }, SIGNAL));
    expect(error).to.have.property("reason", "DATABASE_UNAVAILABLE");
    expect(await failures()).to.equal(0);
  });
});

describe("bearerTokenIn", () => {
  it("finds the token whatever the scheme's case, and says where there is none", () => {
    expect(bearerTokenIn(undefined)).to.equal(undefined);
    for (const text of ["Bearer a", "bearer  a", "BEARER a "]) expect(bearerTokenIn(text)).to.equal("a");
    for (const text of ["", "Bearer", "Bearer ", "Basic a", "Bearer a b"])
      expect(bearerTokenIn(text), text).to.equal("");
  });
});
