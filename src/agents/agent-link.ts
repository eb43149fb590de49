// SPDX-License-Identifier: Apache-2.0
// One live stream of one agent, as the controller's other parts see it: questions go in, answers come out. It knows
// nothing of inventory, which the entrance carries elsewhere.
import type {
  AgentRequest,
  ConnectResponse,
  Drain,
  Peer,
  Reply,
  SpiceEndpoint,
} from "../../proto/gen/spicegate/agent/v1/agent.js";
import { waitAtMost } from "../lib/deadline.js";
import { MAX_HOST_LENGTH, MAX_PORT, MAX_REQUEST_MS, MAX_REQUESTS_PER_AGENT } from "../lib/limits.js";
import { reasonOf, ServiceError } from "../lib/service-error.js";
import { parseText } from "../lib/validate.js";
import { Waiters } from "../lib/waiters.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import { errorFromFailure } from "./agent-failure.js";

/** Who is at the other end. */
export interface AgentIdentity {
  readonly host: string;
  /** One run of the agent. */
  readonly processId: string;
  readonly generation: bigint;
  readonly agentVersion: string;
}

/** What a question may take. */
export interface AskOptions {
  /** How long the asker waits, in milliseconds; the agent never gets more than MAX_REQUEST_MS. */
  readonly ms: number;
  /** Repeated in the agent's log. */
  readonly requestId: string;
  /** Cancels the agent's work. */
  readonly signal: AbortSignal;
}

/** What a token remembers of where its display was; absent where it had no such port. */
export interface ConsolePorts {
  readonly port?: number | undefined;
  readonly tlsPort?: number | undefined;
}

/** Where the agent is to bring a display. */
export interface TunnelTarget {
  /** host:port of the tunnel listener. */
  readonly tunnelAddress: string;
  /** One-time secret; never logged. */
  readonly tunnelSecret: string;
}

type Operation = NonNullable<AgentRequest["operation"]>;
type Result = NonNullable<Reply["result"]>;

interface Pending {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
}

/** What the link needs of the stream and the program. */
export interface AgentLinkOptions {
  readonly identity: AgentIdentity;
  /** Sends a message, or throws where the stream cannot take one. */
  readonly send: (message: NonNullable<ConnectResponse["message"]>) => void;
  /** Ends the stream after what was sent. */
  readonly end: () => void;
  readonly metrics: Pick<ControllerMetrics, "agentRequestSeconds" | "agentMessagesIgnored">;
}

/** A connected agent. */
export class AgentLink {
  readonly identity: AgentIdentity;
  readonly #options: AgentLinkOptions;
  readonly #pending = new Map<bigint, Pending>();
  readonly #idle = new Waiters();
  readonly #onClosed = new Set<() => void>();
  #lastId = 0n;
  #state: "open" | "draining" | "closed" = "open";

  constructor(options: AgentLinkOptions) {
    this.identity = options.identity;
    this.#options = options;
  }

  /** True while it takes questions. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Where the instance's SPICE display is now. Throws the agent's failure, AGENT_TIMEOUT, LIMITED or CANCELLED. */
  async getSpiceEndpoint(instanceUuid: string, options: AskOptions): Promise<SpiceEndpoint> {
    const result = await this.#ask({ $case: "getSpiceEndpoint", getSpiceEndpoint: { instanceUuid } }, options);
    if (result.$case !== "spiceEndpoint") throw unexpected(`answered ${result.$case}`);
    checkEndpoint(result.spiceEndpoint);
    return result.spiceEndpoint;
  }

  /**
   * Asks whether the display is still where it was: each port given must be the display's, with none given it must be one
   * without a port. Throws TARGET_CHANGED where it is not, else as `getSpiceEndpoint` does.
   */
  async validateConsolePort(instanceUuid: string, ports: ConsolePorts, options: AskOptions): Promise<void> {
    const { port = 0, tlsPort = 0 } = ports;
    const validateConsolePort = { instanceUuid, port, tlsPort };
    const result = await this.#ask({ $case: "validateConsolePort", validateConsolePort }, options);
    if (result.$case !== "consolePortValid") throw unexpected(`answered ${result.$case}`);
  }

  /**
   * Has the agent open the instance's SPICE display and bring it through a tunnel; returns when it says that the tunnel
   * stands. Throws TARGET_REFUSED where the display does not take the connection, else as `getSpiceEndpoint` does.
   */
  async openDisplay(instanceUuid: string, tunnel: TunnelTarget, options: AskOptions): Promise<void> {
    const { tunnelAddress, tunnelSecret } = tunnel;
    const openDisplay = { instanceUuid, tunnelAddress, tunnelSecret };
    const result = await this.#ask({ $case: "openDisplay", openDisplay }, options);
    if (result.$case !== "displayOpened") throw unexpected(`answered ${result.$case}`);
  }

  /** Calls back once when the stream is gone, at once where it already is. The returned function takes the wish back. */
  onClosed(listener: () => void): () => void {
    if (this.#state === "closed") {
      listener();
      return () => undefined;
    }
    this.#onClosed.add(listener);
    return () => this.#onClosed.delete(listener);
  }

  /** Hands the agent's answer to whoever waits for it; an answer nobody waits for is counted. */
  receive(reply: Reply): void {
    const pending = this.#pending.get(reply.id);
    if (!pending) {
      this.#options.metrics.agentMessagesIgnored.inc({ kind: "late_reply" });
      return;
    }
    if (reply.result) pending.resolve(reply.result);
    else pending.reject(new ServiceError("INTERNAL", "the agent answered nothing"));
  }

  /** Tells the agent which controllers live; not one that is leaving. */
  announce(peers: readonly Peer[]): void {
    if (this.#state === "open") this.#options.send({ $case: "peers", peers: { peers: [...peers] } });
  }

  /** The agent leaves: no new questions; answers to old ones are still taken. */
  agentDrains(): void {
    if (this.#state === "open") this.#state = "draining";
  }

  /** Tells the agent to leave, waits until nothing is in flight, and ends the stream. */
  async drain(drain: Drain): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "draining";
    this.#options.send({ $case: "drain", drain });
    if (this.#pending.size > 0) await this.#idle.wait();
    this.#options.end();
  }

  /** The stream is gone: everything that waits fails with the error. A second call changes nothing. */
  close(error: ServiceError): void {
    this.#state = "closed";
    for (const pending of this.#pending.values()) pending.reject(error);
    for (const listener of this.#onClosed) listener();
    this.#onClosed.clear();
  }

  async #ask(operation: Operation, options: AskOptions): Promise<Result> {
    this.#refuseIfBusy();
    const id = ++this.#lastId;
    const startedAt = performance.now();
    const observe = (outcome: string): void => {
      const seconds = (performance.now() - startedAt) / 1_000;
      this.#options.metrics.agentRequestSeconds.observe({ operation: operation.$case, outcome }, seconds);
    };
    try {
      const result = await this.#exchange(id, operation, options);
      if (result.$case === "failure") throw errorFromFailure(result.failure);
      observe("OK");
      return result;
    } catch (error) {
      observe(reasonOf(error));
      throw error;
    }
  }

  async #exchange(id: bigint, operation: Operation, { ms, requestId, signal }: AskOptions): Promise<Result> {
    const timeoutMs = Math.max(1, Math.floor(Math.min(ms, MAX_REQUEST_MS)));
    const expired = (): ServiceError =>
      new ServiceError("AGENT_TIMEOUT", `the agent of host ${this.identity.host} said nothing for ${timeoutMs} ms`);
    let answered = false;
    try {
      const result = await waitAtMost({ ms: timeoutMs, expired, signal }, () => {
        const answer = new Promise<Result>((resolve, reject) => this.#pending.set(id, { resolve, reject }));
        this.#options.send({ $case: "request", request: { id, timeoutMs, requestId, operation } });
        return answer;
      });
      answered = true;
      return result;
    } finally {
      this.#pending.delete(id);
      if (!answered && this.#state !== "closed") this.#options.send({ $case: "cancel", cancel: { id } });
      if (this.#pending.size === 0) this.#idle.wake();
    }
  }

  #refuseIfBusy(): void {
    const { host } = this.identity;
    if (this.#state !== "open") {
      throw new ServiceError("AGENT_UNAVAILABLE", `the agent of host ${host} is leaving`, { metadata: { host } });
    }
    if (this.#pending.size < MAX_REQUESTS_PER_AGENT) return;
    throw new ServiceError("LIMITED", `host ${host} has too many requests in flight`, { metadata: { host } });
  }
}

/** What an agent says is stored together with what others say: nonsense of one must not fail them all. */
function checkEndpoint({ host, port, tlsPort }: SpiceEndpoint): void {
  if (port > MAX_PORT || tlsPort > MAX_PORT) throw unexpected(`named port ${Math.max(port, tlsPort)}`);
  try {
    parseText(host, { field: "host", most: MAX_HOST_LENGTH, required: true });
  } catch (error) {
    throw unexpected(`named a host that is none: ${String(error)}`);
  }
}

function unexpected(what: string): ServiceError {
  return new ServiceError("INTERNAL", "the agent answered nonsense", { cause: new Error(`the agent ${what}`) });
}
