// SPDX-License-Identifier: Apache-2.0
// What callers may see and change of instances and hosts. The rules of who owns which column are the registry's.
import type { LegacyTokens } from "../consoleauth/console-auth.js";
import type { Page, PageRequest } from "../db/page-token.js";
import type { Host } from "../instances/host.js";
import type {
  Instance,
  InstanceChanges,
  InstanceFilters,
  InstanceRegistration,
  RecordedFault,
} from "../instances/instance.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import type { InstanceStep, InstanceView } from "../instances/instance-watches.js";
import { reasonOf } from "../lib/service-error.js";
import { invalid } from "../lib/validate.js";
import { seesEveryProject, seesProject } from "../policy/policy.js";
import { isAdmin } from "../rpc/caller.js";
import type { RequestContext } from "../rpc/request-context.js";
import { actorFrom } from "./audit-actor.js";
import type { InstanceAccess } from "./instance-access.js";

/** What the use cases need. */
export interface ManageInventoryOptions {
  readonly access: InstanceAccess;
  readonly instances: InstanceRegistry;
  readonly legacy: Pick<LegacyTokens, "forget">;
}

/** The use cases of InventoryService. */
export class ManageInventory {
  readonly #options: ManageInventoryOptions;

  constructor(options: ManageInventoryOptions) {
    this.#options = options;
  }

  /**
   * A page of the instances the caller sees; somebody else's project is an empty page. INVALID_ARGUMENT for an `after`
   * that the caller does not see.
   */
  async listInstances(filters: InstanceFilters, page: PageRequest, context: RequestContext): Promise<Page<Instance>> {
    const { instances } = this.#options;
    if (filters.after !== undefined) await this.#requireMarker(filters.after, context);
    const { caller } = context;
    if (seesEveryProject(caller)) return instances.list(filters, page);
    const { projectId = caller.project } = filters;
    if (caller.project === "" || projectId !== caller.project) return { items: [], nextPageToken: "" };
    return instances.list({ ...filters, projectId }, page);
  }

  /** The instances that the caller sees, and what happens to them, until the caller goes away. */
  async *watchInstances(filters: WatchFilters, context: RequestContext): AsyncGenerator<InstanceStep, void> {
    const { access, instances } = this.#options;
    access.requireDatabase();
    const { caller, signal } = context;
    const sees: InstanceView = (instance) => seesProject(caller, instance.projectId) && fits(instance, filters);
    yield* instances.watch(sees, signal);
  }

  async #requireMarker(uuid: string, context: RequestContext): Promise<void> {
    try {
      await this.#options.access.require(uuid, context);
    } catch (error) {
      if (reasonOf(error) !== "INSTANCE_NOT_FOUND") throw error;
      throw invalid("marker", "must be the id of an instance");
    }
  }

  /** One instance, and for administrators its last faults, newest first. */
  async getInstance(
    uuid: string,
    context: RequestContext,
  ): Promise<{ instance: Instance; faults: readonly RecordedFault[] }> {
    const { access, instances } = this.#options;
    const instance = await access.require(uuid, context);
    return { instance, faults: isAdmin(context.caller) ? await instances.faults(uuid) : [] };
  }

  /** Creates or replaces the orchestrator's half; revives a deleted instance. */
  async registerInstance(registration: InstanceRegistration): Promise<Instance> {
    const { instances, legacy } = this.#options;
    const instance = await instances.register(registration);
    if (startsMigration(registration)) await legacy.forget(registration.uuid);
    return instance;
  }

  /** Changes the named fields. */
  async updateInstance(uuid: string, changes: InstanceChanges): Promise<Instance> {
    const { instances, legacy } = this.#options;
    const instance = await instances.update(uuid, changes);
    if (startsMigration(changes)) await legacy.forget(uuid);
    return instance;
  }

  /** Deletes the instance and its tokens; says how many tokens. */
  async deleteInstance(uuid: string, context: RequestContext): Promise<number> {
    const { instances, legacy } = this.#options;
    const tokens = await instances.delete(uuid, actorFrom(context));
    await legacy.forget(uuid);
    return tokens;
  }

  /** A page of the hosts. */
  listHosts(page: PageRequest): Promise<Page<Host>> {
    return this.#options.instances.listHosts(page);
  }
}

/** The filters of a watch. */
export type WatchFilters = Pick<InstanceFilters, "projectId" | "host" | "name" | "powerState">;

function fits(instance: Instance, filters: WatchFilters): boolean {
  const { projectId, host, name, powerState } = instance;
  const {
    projectId: project = projectId,
    host: on = host,
    name: called = name,
    powerState: state = powerState,
  } = filters;
  return projectId === project && host === on && name === called && powerState === state;
}

/** As in Nova the legacy store forgets at the start of a live migration; the rows go when the destination runs it. */
function startsMigration({ taskState }: Pick<InstanceChanges, "taskState">): boolean {
  return taskState === "migrating";
}
