// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import type { ErrorMapping } from "../../../src/lib/service-error.js";
import { ERROR_TABLE, reasonOf, ServiceError } from "../../../src/lib/service-error.js";

describe("ServiceError", () => {
  it("keeps the cause for the log and out of the message", () => {
    const error = new ServiceError("DATABASE_UNAVAILABLE", "try again", { cause: new Error("10.0.0.7 refused") });
    expect(error.message).to.equal("try again");
    expect(error.cause).to.be.instanceOf(Error);
  });

  it("maps its reason to both protocols", () => {
    expect(new ServiceError("INSTANCE_BUSY", "later").mapping).to.deep.equal({
      grpc: status.FAILED_PRECONDITION,
      http: 409,
    });
  });
});

describe("ERROR_TABLE", () => {
  it("says when to retry exactly where the service may come back by itself", () => {
    for (const [reason, mapping] of Object.entries<ErrorMapping>(ERROR_TABLE)) {
      const comesBack = mapping.http === 503 || mapping.http === 429;
      expect(mapping.retryMs !== undefined, reason).to.equal(comesBack);
    }
  });
});

describe("reasonOf", () => {
  it("calls the unknown INTERNAL", () => {
    expect(reasonOf(new ServiceError("LIMITED", "later"))).to.equal("LIMITED");
    expect(reasonOf(new Error("x"))).to.equal("INTERNAL");
    expect(reasonOf("x")).to.equal("INTERNAL");
  });
});
