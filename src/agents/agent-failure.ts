// SPDX-License-Identifier: Apache-2.0
// The one place where an agent's failure becomes a ServiceError.
import type { Failure } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { FailureReason } from "../../proto/gen/spicegate/agent/v1/agent.js";
import type { ErrorReason } from "../lib/service-error.js";
import { ServiceError } from "../lib/service-error.js";

/** What the caller is told. The agent's own words go to the log: they may name paths and addresses of the host. */
interface Meaning {
  readonly reason: ErrorReason;
  readonly message: string;
}

const MEANINGS = new Map<number, Meaning>([
  [
    FailureReason.FAILURE_REASON_INSTANCE_NOT_FOUND,
    {
      reason: "INSTANCE_NOT_FOUND",
      message: "the instance is no longer on its host",
    },
  ],
  [
    FailureReason.FAILURE_REASON_INSTANCE_NOT_RUNNING,
    {
      reason: "INSTANCE_NOT_RUNNING",
      message: "the instance is not running; start or resume it first",
    },
  ],
  [
    FailureReason.FAILURE_REASON_SPICE_DISABLED,
    {
      reason: "SPICE_DISABLED",
      message: "SPICE consoles are switched off on the instance's host (spice.enabled)",
    },
  ],
  [
    FailureReason.FAILURE_REASON_NO_SPICE_DISPLAY,
    {
      reason: "NO_SPICE_DISPLAY",
      message: "the instance has no SPICE display; add <graphics type='spice'> and restart it",
    },
  ],
  [
    FailureReason.FAILURE_REASON_HOST_LACKS_SPICE,
    {
      reason: "HOST_LACKS_SPICE",
      message: "the hypervisor of the instance's host was built without SPICE",
    },
  ],
  [
    FailureReason.FAILURE_REASON_TARGET_CHANGED,
    {
      reason: "TARGET_CHANGED",
      message: "the display is no longer where it was; ask for a new console",
    },
  ],
  [
    FailureReason.FAILURE_REASON_HYPERVISOR_UNAVAILABLE,
    {
      reason: "HYPERVISOR_UNAVAILABLE",
      message: "libvirt on the instance's host does not answer; the agent keeps trying",
    },
  ],
  [
    FailureReason.FAILURE_REASON_LIMITED,
    {
      reason: "LIMITED",
      message: "the instance's host has too many requests in flight",
    },
  ],
  [
    FailureReason.FAILURE_REASON_TARGET_REFUSED,
    {
      reason: "TARGET_REFUSED",
      message: "the instance's display does not take the connection; look at the host's agent log",
    },
  ],
  [
    FailureReason.FAILURE_REASON_DRAINING,
    {
      reason: "AGENT_UNAVAILABLE",
      message: "the agent of the instance's host is stopping",
    },
  ],
]);

/** The error of a failed agent request; a reason this version does not know is INTERNAL. */
export function errorFromFailure(failure: Failure): ServiceError {
  const cause = new Error(`agent: ${failure.message}`);
  const meaning = MEANINGS.get(failure.reason);
  if (meaning) return new ServiceError(meaning.reason, meaning.message, { cause });
  return new ServiceError("INTERNAL", "the agent failed", { cause });
}
