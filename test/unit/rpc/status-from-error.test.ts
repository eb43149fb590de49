// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { ServiceError } from "../../../src/lib/service-error.js";
import { statusFromError } from "../../../src/rpc/status-from-error.js";
import { errorDetails } from "../../harness/grpc-client.js";

describe("statusFromError", () => {
  it("carries the reason and the metadata as ErrorInfo", () => {
    const error = new ServiceError("INSTANCE_BUSY", "migrating", { metadata: { task_state: "migrating" } });
    const result = statusFromError(error);
    expect(result.code).to.equal(status.FAILED_PRECONDITION);
    expect(result.details).to.equal("migrating");
    const { info, retry } = errorDetails(result.metadata);
    expect(info).to.deep.equal({
      reason: "INSTANCE_BUSY",
      domain: "spicegate",
      metadata: { task_state: "migrating" },
    });
    expect(retry, "a busy instance is not retried by a machine").to.equal(undefined);
  });

  it("says when to try again where that helps", () => {
    const { retry } = errorDetails(statusFromError(new ServiceError("AGENT_UNAVAILABLE", "no agent")).metadata);
    expect(retry?.retryDelay).to.deep.equal({ seconds: 2n, nanos: 0 });
  });

  it("says when to try again by the error's own word, where it has one", () => {
    const error = new ServiceError("LIMITED", "too many", { retryMs: 12_345 });
    const { retry } = errorDetails(statusFromError(error).metadata);
    expect(retry?.retryDelay).to.deep.equal({ seconds: 12n, nanos: 345_000_000 });
  });

  it("never sends the cause", () => {
    const cause = new Error("password=hunter2");
    const result = statusFromError(new ServiceError("INTERNAL", "internal error", { cause }));
    expect(JSON.stringify(result.metadata.toJSON())).to.not.include("hunter2");
    expect(result.details).to.equal("internal error");
  });
});
