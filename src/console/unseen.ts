// SPDX-License-Identifier: Apache-2.0
import type { Refusal } from "../audit/audit-log.js";
import type { RefusalRecorder } from "../audit/refusal-recorder.js";
import { projectOf } from "../policy/policy.js";
import type { RequestContext } from "../rpc/request-context.js";
import { actorFrom } from "./audit-actor.js";

/**
 * Notes, in the background, that a caller who is bound to a project has named what it does not see: whether nobody has that
 * or somebody else is the same here too. For callers who see everything such a thing is just not there.
 */
export function noteUnseen(
  refusals: Pick<RefusalRecorder, "record">,
  about: Pick<Refusal, "reason" | "instanceUuid" | "sessionId">,
  context: RequestContext,
): void {
  if (projectOf(context.caller) === undefined) return;
  refusals.record({ ...about, actor: actorFrom(context) });
}
