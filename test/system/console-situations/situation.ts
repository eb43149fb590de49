// SPDX-License-Identifier: Apache-2.0
// The tests of docs/console-situations.ts. Their titles are its rows; what is not a row does not compile, and a row that
// no file here names fails every-row.test.ts.
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import type { CONSOLE_SITUATIONS } from "../../../docs/console-situations.js";
import type { GetSpiceConsoleResponse } from "../../../proto/gen/spicegate/console/v1/console.js";
import type { CallResult } from "../../harness/grpc-client.js";

type Row = (typeof CONSOLE_SITUATIONS)[number];
type Answer = Row["answer"];
type Refusal = Exclude<Answer, "OK">;

/** A way into a situation, and what GetSpiceConsole answered in it. */
export type Ask = () => Promise<CallResult<GetSpiceConsoleResponse>>;

/** The status of each answer and whether it says when to try again: written out, so that it is not the code's own. */
const STATUS = {
  INVALID_ARGUMENT: { code: status.INVALID_ARGUMENT, retry: false },
  CONSOLE_TYPE_INVALID: { code: status.INVALID_ARGUMENT, retry: false },
  SPICE_DISABLED: { code: status.FAILED_PRECONDITION, retry: false },
  NO_SPICE_DISPLAY: { code: status.FAILED_PRECONDITION, retry: false },
  NO_NETWORK_DISPLAY: { code: status.FAILED_PRECONDITION, retry: false },
  INSTANCE_NOT_FOUND: { code: status.NOT_FOUND, retry: false },
  INSTANCE_NOT_READY: { code: status.FAILED_PRECONDITION, retry: false },
  INSTANCE_BUSY: { code: status.FAILED_PRECONDITION, retry: false },
  INSTANCE_NOT_RUNNING: { code: status.FAILED_PRECONDITION, retry: false },
  HOST_LACKS_SPICE: { code: status.UNIMPLEMENTED, retry: false },
  AGENT_UNAVAILABLE: { code: status.UNAVAILABLE, retry: true },
  HYPERVISOR_UNAVAILABLE: { code: status.UNAVAILABLE, retry: true },
  DATABASE_UNAVAILABLE: { code: status.UNAVAILABLE, retry: true },
  INVENTORY_INCOMPLETE: { code: status.UNAVAILABLE, retry: true },
  DRAINING: { code: status.UNAVAILABLE, retry: true },
  AGENT_TIMEOUT: { code: status.DEADLINE_EXCEEDED, retry: false },
  PERMISSION_DENIED: { code: status.PERMISSION_DENIED, retry: false },
  CANCELLED: { code: status.CANCELLED, retry: false },
} as const satisfies Record<Refusal, { readonly code: status; readonly retry: boolean }>;

/** A situation in which the console opens. */
export function opens(title: Extract<Row, { answer: "OK" }>["situation"], ask: Ask): void {
  situation(title, async () => {
    const result = await ask();
    expect(result).to.have.nested.property("response.url");
  });
}

/** A situation in which it is refused with that reason and with words of this kind. */
export function refuses<A extends Refusal>(
  title: Extract<Row, { answer: A }>["situation"],
  expected: { readonly answer: A; readonly says: RegExp },
  ask: Ask,
): void {
  situation(title, async () => expectRefusal(await ask(), expected.answer, expected.says));
}

/** A situation with checks of its own. */
export function situation(title: Row["situation"], test: () => Promise<void>): void {
  it(title, test);
}

/** Throws unless this is the answer, whole: status, details and words. */
export function expectRefusal(result: CallResult<unknown>, answer: Refusal, says: RegExp): void {
  if (result.ok) throw new Error(`expected ${answer}, got a console`);
  const { code, reason, info, retry, message } = result.failure;
  const { code: expectedCode, retry: expectedRetry } = STATUS[answer];
  expect({ code, reason, domain: info?.domain, retry: retry !== undefined, message }).to.deep.include({
    code: expectedCode,
    reason: answer,
    domain: "spicegate",
    retry: expectedRetry,
  });
  expect(message).to.match(says);
}
