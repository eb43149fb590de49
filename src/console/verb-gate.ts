// SPDX-License-Identifier: Apache-2.0
// The first question of every call, whatever the protocol: may the caller do this at all. It is asked before the call is
// looked into, so that whoever may not learns nothing of what it named.
import { logAudit } from "../audit/audit-line.js";
import type { AuditLog, Refusal } from "../audit/audit-log.js";
import type { Verb } from "../config/policy-table.js";
import { isTree } from "../config/settings-tree.js";
import { MAX_CONSOLE_TYPE_LENGTH, MAX_NAME_LENGTH, MAX_SESSION_ID_LENGTH } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import { isUuid, parseText } from "../lib/validate.js";
import { ruleOf } from "../policy/method-rules.js";
import type { Policy } from "../policy/policy.js";
import type { CallGuard } from "../rpc/call-guard.js";
import type { RequestContext } from "../rpc/request-context.js";
import { actorFrom, auditLineFrom } from "./audit-actor.js";

/** What the gate needs. */
export interface VerbGateOptions {
  readonly policy: Pick<Policy, "require">;
  /** Undefined in a program without a database: the log has to do. */
  readonly audit: Pick<AuditLog, "recordRefusal"> | undefined;
  readonly log: Log;
}

/** What a call is about, for the audit of its refusal. */
export type CallSubject = Pick<Refusal, "instanceUuid" | "consoleType" | "sessionId">;

/** Lets callers in by the policy, and notes whom it refuses. */
export class VerbGate {
  readonly #options: VerbGateOptions;

  constructor(options: VerbGateOptions) {
    this.#options = options;
  }

  /** The guard of a gRPC method, by its rule. Throws an Error for a method that has none. */
  readonly guardOf = (path: string): CallGuard => {
    const rule = ruleOf(path);
    if (rule === "anyone" || rule === "enrollment" || rule === "agent")
      return { asksWho: false, admit: () => undefined };
    if (rule === "known") return { asksWho: true, admit: () => undefined };
    return { asksWho: true, admit: (context, request) => this.require(rule, context, subjectOf(request)) };
  };

  /** Throws PERMISSION_DENIED, after noting it, unless one of the caller's roles has the verb. */
  async require(verb: Verb, context: RequestContext, about: CallSubject = {}): Promise<void> {
    try {
      this.#options.policy.require(context.caller, verb);
    } catch (error) {
      await this.#note(context, about);
      throw error;
    }
  }

  /** Throws PERMISSION_DENIED with that message, after noting it. */
  async deny(message: string, context: RequestContext, about: CallSubject): Promise<never> {
    await this.#note(context, about);
    throw new ServiceError("PERMISSION_DENIED", message);
  }

  async #note(context: RequestContext, about: CallSubject): Promise<void> {
    const { audit, log } = this.#options;
    const reason = "PERMISSION_DENIED";
    const { instanceUuid: instance, sessionId: session } = about;
    logAudit(log, "refused", { ...auditLineFrom(context), reason, instance, session });
    try {
      await audit?.recordRefusal({ ...about, actor: actorFrom(context), reason });
    } catch (error) {
      // The refusal stands whether or not it could be noted.
      log.error({ err: error, requestId: context.requestId }, "a refusal was not noted in the audit");
    }
  }
}

/** What a request says that it is about, as far as that can be written down. */
export function subjectOf(request: unknown): CallSubject {
  const fields = isTree(request) ? request : {};
  const inner = isTree(fields["instance"]) ? fields["instance"] : fields;
  const uuid = textOf(inner["instanceUuid"], MAX_NAME_LENGTH)?.toLowerCase();
  return {
    instanceUuid: uuid !== undefined && isUuid(uuid) ? uuid : undefined,
    consoleType: textOf(fields["consoleType"], MAX_CONSOLE_TYPE_LENGTH),
    sessionId: textOf(fields["sessionId"], MAX_SESSION_ID_LENGTH),
  };
}

function textOf(value: unknown, most: number): string | undefined {
  if (typeof value !== "string" || value === "") return undefined;
  try {
    return parseText(value, { field: "", most });
  } catch {
    return undefined;
  }
}
