// SPDX-License-Identifier: Apache-2.0
import { VerbGate } from "../../src/console/verb-gate.js";
import { silentLog } from "../../src/lib/log.js";
import { Policy } from "../../src/policy/policy.js";

/** Lets callers in by the default policy, and notes nothing. */
export const DEFAULT_GATE = new VerbGate({ policy: new Policy(), audit: undefined, log: silentLog });
