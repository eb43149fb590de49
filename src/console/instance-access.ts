// SPDX-License-Identifier: Apache-2.0
// The first two steps of every use case that names an instance: may the caller do this at all, and does it see this
// instance. What does not exist and what is somebody else's look the same.
import { logAudit } from "../audit/audit-line.js";
import type { AuditLog } from "../audit/audit-log.js";
import type { Database } from "../db/pool.js";
import type { Instance } from "../instances/instance.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import type { Verb } from "../policy/policy.js";
import { requireVerb, seesProject } from "../policy/policy.js";
import type { RequestContext } from "../rpc/request-context.js";
import { actorFrom, auditLineFrom } from "./audit-actor.js";

/** What the checks need. */
export interface InstanceAccessOptions {
  readonly instances: Pick<InstanceRegistry, "find" | "findFresh" | "inventoryPending">;
  readonly audit: Pick<AuditLog, "recordRefusal">;
  readonly database: Pick<Database, "isReady">;
  readonly log: Log;
}

/** What a caller is about to do, for the audit of a refusal. */
export interface Attempt {
  readonly verb: Verb;
  readonly instanceUuid?: string;
  readonly consoleType?: string;
}

/** Decides whether a caller gets as far as an instance. */
export class InstanceAccess {
  readonly #options: InstanceAccessOptions;

  constructor(options: InstanceAccessOptions) {
    this.#options = options;
  }

  /** Throws PERMISSION_DENIED, after noting it in the audit, unless one of the caller's roles has the verb. */
  async requireVerb(attempt: Attempt, context: RequestContext): Promise<void> {
    try {
      requireVerb(context.caller, attempt.verb);
    } catch (error) {
      await this.#noteRefusal(attempt, context);
      throw error;
    }
  }

  /**
   * The instance, or INSTANCE_NOT_FOUND where the caller does not see it, or INVENTORY_INCOMPLETE while a host reports.
   * Memory alone refuses nobody: another controller may have changed the instance a moment ago.
   */
  async require(instanceUuid: string, context: RequestContext): Promise<Instance> {
    this.requireDatabase();
    const known = this.#options.instances.find(instanceUuid);
    const seen = known && seesProject(context.caller, known.projectId);
    return seen ? known : this.requireFresh(instanceUuid, context);
  }

  /** The same, but as Postgres says it now. */
  async requireFresh(instanceUuid: string, context: RequestContext): Promise<Instance> {
    this.requireDatabase();
    const { instances } = this.#options;
    const instance = await instances.findFresh(instanceUuid);
    if (instance && seesProject(context.caller, instance.projectId)) return instance;
    // Somebody else's is told the same as what may still turn up, or the two could be told apart.
    if (instances.inventoryPending()) {
      throw new ServiceError("INVENTORY_INCOMPLETE", "a host is still reporting its instances; ask again in a second");
    }
    throw new ServiceError("INSTANCE_NOT_FOUND", `there is no instance ${instanceUuid}`);
  }

  /** Refuses at once what could not be stored anyway. */
  requireDatabase(): void {
    if (this.#options.database.isReady()) return;
    throw new ServiceError("DATABASE_UNAVAILABLE", "the controller's database does not answer; ask again in a second");
  }

  async #noteRefusal({ instanceUuid, consoleType }: Attempt, context: RequestContext): Promise<void> {
    const actor = actorFrom(context);
    const line = { ...auditLineFrom(context), reason: "PERMISSION_DENIED", instance: instanceUuid };
    logAudit(this.#options.log, "refused", line);
    try {
      await this.#options.audit.recordRefusal({ actor, reason: "PERMISSION_DENIED", instanceUuid, consoleType });
    } catch (error) {
      // The refusal stands whether or not it could be noted.
      this.#options.log.error({ err: error, requestId: context.requestId }, "a refusal was not noted in the audit");
    }
  }
}
