// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { faultBody } from "../../../src/gateway/nova-fault.js";
import { HttpProblem, problemFrom } from "../../../src/http/http-problem.js";
import type { ErrorReason } from "../../../src/lib/service-error.js";
import { ServiceError } from "../../../src/lib/service-error.js";

const bodyOf = (problem: HttpProblem): unknown => JSON.parse(faultBody(problem, "req-1"));

describe("faultBody", () => {
  // Written out, so that it is not the code's own table.
  const names: Partial<Record<ErrorReason, [string, number]>> = {
    INVALID_ARGUMENT: ["badRequest", 400],
    CONSOLE_TYPE_INVALID: ["badRequest", 400],
    PERMISSION_DENIED: ["forbidden", 403],
    INSTANCE_NOT_FOUND: ["itemNotFound", 404],
    TOKEN_NOT_FOUND: ["itemNotFound", 404],
    INSTANCE_BUSY: ["conflictingRequest", 409],
    HOST_LACKS_SPICE: ["notImplemented", 501],
    AGENT_UNAVAILABLE: ["serviceUnavailable", 503],
    AGENT_TIMEOUT: ["computeFault", 504],
    VERSION_UNSUPPORTED: ["computeFault", 406],
  };
  for (const [reason, [name, code]] of Object.entries(names)) {
    it(`is a ${name} for ${reason}`, () => {
      const problem = problemFrom(new ServiceError(reason as ErrorReason, "why"));
      expect(bodyOf(problem)).to.deep.equal({ [name]: { code, message: "why" } });
    });
  }

  it("is a computeFault without the cause for anything unexpected", () => {
    const text = faultBody(problemFrom(new Error("secret detail")), "req-1");
    expect(JSON.parse(text)).to.have.nested.property("computeFault.code", 500);
    expect(text).not.to.contain("secret detail");
  });

  it("says when to come again where there were too many", () => {
    expect(bodyOf(problemFrom(new ServiceError("LIMITED", "too many")))).to.deep.equal({
      overLimit: { code: 429, message: "too many", retryAfter: "1" },
    });
    const large = new HttpProblem(413, "INVALID_ARGUMENT", "too large");
    expect(bodyOf(large)).to.deep.equal({ overLimit: { code: 413, message: "too large" } });
  });

  it("is Keystone's where nobody is known", () => {
    expect(bodyOf(problemFrom(new ServiceError("UNAUTHENTICATED", "who are you")))).to.deep.equal({
      error: { code: 401, title: "Unauthorized", message: "who are you" },
    });
  });
});
