// SPDX-License-Identifier: Apache-2.0
// The main job. The order of its steps is part of the behaviour; docs/errors.md shows what each of them answers.
import type { SpiceEndpoint } from "../../proto/gen/spicegate/agent/v1/agent.js";
import type { AgentRouter } from "../agents/agent-router.js";
import { logAudit } from "../audit/audit-line.js";
import type { LegacyTokens } from "../consoleauth/console-auth.js";
import type { Displays } from "../displays/display.js";
import { listensOnNetwork } from "../displays/network-display.js";
import type { Instance } from "../instances/instance.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import { abortError } from "../lib/deadline.js";
import { MAX_REQUEST_MS } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import { seesEveryProject } from "../policy/policy.js";
import type { Policy } from "../policy/policy.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { Authorization, ConsoleAuthorizer } from "../tokens/console-authorizer.js";
import { BUSY_TASK_STATES } from "../tokens/console-authorizer.js";
import type { UrlForm } from "./access-url.js";
import { accessUrl } from "./access-url.js";
import { actorFrom, auditLineFrom } from "./audit-actor.js";
import type { ConsoleType } from "./console-type.js";
import { parseConsoleType, requireSpice } from "./console-type.js";
import type { InstanceAccess } from "./instance-access.js";
import type { VerbGate } from "./verb-gate.js";

/** What GetSpiceConsole needs. */
export interface GetSpiceConsoleOptions {
  readonly access: InstanceAccess;
  readonly policy: Pick<Policy, "opensViewOnly">;
  readonly gate: Pick<VerbGate, "deny">;
  readonly agents: AgentRouter;
  readonly displays: Pick<Displays, "requireReachable">;
  readonly tokens: Pick<ConsoleAuthorizer, "authorize" | "withdraw">;
  readonly legacy: Pick<LegacyTokens, "issued">;
  readonly instances: Pick<InstanceRegistry, "recordFault">;
  /** Nova's [spice] html5proxy_base_url and spice_direct_proxy_base_url. */
  readonly urls: Readonly<Record<ConsoleType, UrlForm>>;
  /** Nova's [consoleauth] token_ttl, in seconds. */
  readonly ttlSeconds: number;
  readonly log: Log;
}

/** A console that can be opened. */
export interface IssuedConsole {
  readonly url: string;
  readonly consoleType: ConsoleType;
  readonly expiresAt: Date;
  /** Whether it can only be looked at. */
  readonly viewOnly: boolean;
}

/** What is asked for. */
export interface ConsoleRequest {
  readonly instanceUuid: string;
  readonly consoleType: string;
  /** The protocol, where a caller names one besides the type; only "spice" is opened here. */
  readonly protocol?: string;
}

interface Placed {
  readonly instance: Instance;
  readonly host: string;
  readonly consoleType: ConsoleType;
}

/** A console that is about to be issued. */
interface Wanted extends Placed {
  readonly viewOnly: boolean;
}

/** Issues console URLs. */
export class GetSpiceConsole {
  readonly #options: GetSpiceConsoleOptions;

  constructor(options: GetSpiceConsoleOptions) {
    this.#options = options;
  }

  /**
   * Checks what the caller sees and the instance, asks the instance's host for its display, stores the authorization and returns
   * the URL. Each call issues another token.
   */
  async execute(request: ConsoleRequest, context: RequestContext): Promise<IssuedConsole> {
    const { urls, policy } = this.#options;
    const { instance, host, consoleType } = await this.#place(request, context);
    const viewOnly = policy.opensViewOnly(context.caller);
    const wanted = { instance, host, consoleType, viewOnly };
    await this.#requireOurViewer(wanted, context);
    const endpoint = await this.#askHost(wanted, context);
    this.#requireReachable(wanted, endpoint);
    const { token, expiresAt } = await this.#authorize(wanted, endpoint, context);
    const line = { ...auditLineFrom(context), instance: instance.uuid };
    // The row is written; the caller need not wait for its line in the log.
    setImmediate(() => logAudit(this.#options.log, "issued", line));
    return { url: accessUrl(urls[consoleType], token), consoleType, expiresAt, viewOnly };
  }

  /** A native proxy hands on whatever its viewer does. */
  async #requireOurViewer({ instance, consoleType, viewOnly }: Wanted, context: RequestContext): Promise<void> {
    if (!viewOnly || consoleType === "spice-html5") return;
    const message = `a reader may only look, which is not to be had as ${consoleType}; ask for spice-html5`;
    await this.#options.gate.deny(message, context, { instanceUuid: instance.uuid, consoleType });
  }

  /** What memory says against a console is asked of Postgres, which may have heard that it is over. */
  async #place(request: ConsoleRequest, context: RequestContext): Promise<Placed> {
    const { access } = this.#options;
    const known = await access.require(request.instanceUuid, context);
    try {
      return place(known, request);
    } catch {
      return place(await access.requireFresh(request.instanceUuid, context), request);
    }
  }

  async #askHost({ instance, host }: Placed, context: RequestContext): Promise<SpiceEndpoint> {
    const { requestId, signal } = context;
    const ms = Math.min(context.remainingMs(), MAX_REQUEST_MS);
    try {
      return await this.#options.agents.require(host).getSpiceEndpoint(instance.uuid, { ms, requestId, signal });
    } catch (error) {
      throw this.#noteFault(error, { instance, host, requestId });
    }
  }

  /** A display that nobody will reach is refused now, not when its URL is opened. */
  #requireReachable({ consoleType, host }: Placed, endpoint: SpiceEndpoint): void {
    if (consoleType === "spice-direct") requireNetworkDisplay(endpoint);
    else this.#options.displays.requireReachable(host, endpoint);
  }

  /** Faults are for administrators; a caller that went away is none. */
  #noteFault(thrown: unknown, at: { instance: Instance; host: string; requestId: string }): unknown {
    if (!(thrown instanceof ServiceError) || thrown.reason === "CANCELLED") return thrown;
    const error = stillBuilding(thrown, at.instance);
    const { message, cause } = error;
    this.#options.instances.recordFault({
      instanceUuid: at.instance.uuid,
      reason: error.reason,
      message: cause instanceof Error ? cause.message : message,
      host: at.host,
      requestId: at.requestId,
    });
    return error;
  }

  /**
   * A caller that goes away meanwhile leaves no token behind; what the legacy store then has of it nobody can name. That
   * store is for other proxies too, which would let a reader type.
   */
  async #authorize(wanted: Wanted, endpoint: SpiceEndpoint, context: RequestContext): Promise<Authorization> {
    const { tokens, legacy, urls, ttlSeconds } = this.#options;
    const actor = actorFrom(context);
    const target = {
      instanceUuid: wanted.instance.uuid,
      consoleType: wanted.consoleType,
      host: endpoint.host,
      port: endpoint.port || undefined,
      tlsPort: endpoint.tlsPort || undefined,
      internalAccessPath: endpoint.internalAccessPath || undefined,
      accessUrlBase: urls[wanted.consoleType].baseUrl,
    };
    const { viewOnly } = wanted;
    const ownedBy = seesEveryProject(context.caller) ? undefined : wanted.instance.projectId;
    const authorization = await tokens.authorize({
      ...target,
      agentHost: wanted.host,
      ownedBy,
      viewOnly,
      ttlSeconds,
      actor,
    });
    const { token, tokenHash, expiresAt } = authorization;
    const { signal } = context;
    const whose = { createdBy: actor.subject, expiresAt };
    if (!signal.aborted && !viewOnly) await legacy.issued(tokenHash, { ...target, ...whose });
    if (!signal.aborted) return authorization;
    await tokens.withdraw(token, actor);
    throw abortError(signal);
  }
}

/** Nova's checks of the instance, in its order (nova/compute/api.py), then the console type. */
function place(instance: Instance, { protocol = "spice", consoleType }: ConsoleRequest): Placed {
  const { host, taskState } = instance;
  if (host === undefined) {
    throw new ServiceError("INSTANCE_NOT_READY", "the instance has no host yet; wait until it is placed");
  }
  if (BUSY_TASK_STATES.includes(taskState)) {
    const metadata = { task_state: taskState };
    throw new ServiceError("INSTANCE_BUSY", `the instance is ${taskState}; ask again when that is over`, { metadata });
  }
  requireSpice(protocol);
  return { instance, host, consoleType: parseConsoleType(consoleType) };
}

/** A native proxy dials the display by itself: there must be a port, the plain one or TLS. */
function requireNetworkDisplay(endpoint: SpiceEndpoint): void {
  if (listensOnNetwork(endpoint)) return;
  const message = "the display listens on no network, so no native proxy reaches it; ask for spice-html5";
  throw new ServiceError("NO_NETWORK_DISPLAY", message);
}

/** No domain while the instance is being built means "not yet", as in Nova's compute manager. */
function stillBuilding(error: ServiceError, instance: Instance): ServiceError {
  if (error.reason !== "INSTANCE_NOT_FOUND" || instance.vmState !== "building") return error;
  return new ServiceError("INSTANCE_NOT_READY", "the instance is being built; wait until it is there", {
    cause: error,
  });
}
