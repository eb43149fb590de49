// SPDX-License-Identifier: Apache-2.0
// The first step of every use case that names an instance: does the caller see it. What does not exist and what is
// somebody else's look the same: the same statement finds nothing, and the same is said and noted.
import type { RefusalRecorder } from "../audit/refusal-recorder.js";
import type { Database } from "../db/pool.js";
import type { Instance } from "../instances/instance.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import { ServiceError } from "../lib/service-error.js";
import { projectOf, seesProject } from "../policy/policy.js";
import type { RequestContext } from "../rpc/request-context.js";
import { noteUnseen } from "./unseen.js";

/** What the checks need. */
export interface InstanceAccessOptions {
  readonly instances: Pick<InstanceRegistry, "find" | "findFresh" | "inventoryPending">;
  readonly refusals: Pick<RefusalRecorder, "record">;
  readonly database: Pick<Database, "isReady">;
}

/** Decides whether a caller gets as far as an instance. */
export class InstanceAccess {
  readonly #options: InstanceAccessOptions;

  constructor(options: InstanceAccessOptions) {
    this.#options = options;
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
    const { instances, refusals } = this.#options;
    const instance = await instances.findFresh(instanceUuid, projectOf(context.caller));
    if (instance) return instance;
    // Somebody else's is told the same as what may still turn up, or the two could be told apart.
    if (instances.inventoryPending()) {
      throw new ServiceError("INVENTORY_INCOMPLETE", "a host is still reporting its instances; ask again in a second");
    }
    noteUnseen(refusals, { reason: "INSTANCE_NOT_FOUND", instanceUuid }, context);
    throw new ServiceError("INSTANCE_NOT_FOUND", `there is no instance ${instanceUuid}`);
  }

  /** Refuses at once what could not be stored anyway. */
  requireDatabase(): void {
    if (this.#options.database.isReady()) return;
    throw new ServiceError("DATABASE_UNAVAILABLE", "the controller's database does not answer; ask again in a second");
  }
}
