// SPDX-License-Identifier: Apache-2.0
// One stream to one controller, from dialling to its end. agent.proto is its specification.
import type { StatusObject } from "@grpc/grpc-js";
import { status as grpcStatus } from "@grpc/grpc-js";
import { isDeepStrictEqual } from "node:util";
import type { ConnectResponse, Drain, Peer, Refusal, Welcome } from "../proto/gen/spicegate/agent/v1/agent.js";
import { DrainCause } from "../proto/gen/spicegate/agent/v1/agent.js";
import type { Clock } from "../src/lib/clock.js";
import { MAX_REQUEST_MS, STREAM_END_MS, WELCOME_MS } from "../src/lib/limits.js";
import type { Log } from "../src/lib/log.js";
import type { AgentIdentity } from "./agent-identity.js";
import { PROTOCOL_VERSION } from "./agent-identity.js";
import type { AgentMetrics } from "./agent-metrics.js";
import type { ControllerCredentials } from "./controller-credentials.js";
import type { Dialled } from "./dial.js";
import type { FailureLog } from "./failure-log.js";
import type { Hypervisor, HypervisorStatus } from "./hypervisor.js";
import type { Inventory } from "./inventory.js";
import { encodeMessage } from "./messages.js";
import type { Perform } from "./operations.js";
import { ReportSender } from "./report-sender.js";
import { RequestHandler } from "./request-handler.js";
import { StreamWriter } from "../src/lib/stream-writer.js";

/** What all streams of an agent share. */
export interface SessionContext {
  readonly identity: AgentIdentity;
  readonly credentials: ControllerCredentials;
  readonly hypervisor: Hypervisor;
  readonly inventory: Inventory;
  readonly perform: Perform;
  readonly metrics: AgentMetrics;
  readonly log: Log;
  readonly failureLog: FailureLog;
  readonly clock: Clock;
}

/** Where a session stands. */
export type SessionPhase = "connecting" | "greeting" | "open" | "draining" | "ended";

/** Who hears what a session comes to. */
export interface SessionListener {
  /** Where it stands now. */
  phase(phase: SessionPhase): void;
  /** It is open, on this run of a controller. */
  welcomed(controllerId: string): void;
  /** The controllers that the other side knows to live; each list replaces the one before. */
  peers(peers: readonly Peer[]): void;
}

/** How a session ended, which decides when the next one begins. */
export type SessionEnd =
  | { readonly kind: "lost"; readonly detail: string }
  | { readonly kind: "refused"; readonly refusal: Refusal }
  | { readonly kind: "drained"; readonly drain: Drain }
  | { readonly kind: "replaced" }
  | { readonly kind: "left" };

/** One attempt at a stream, to be run once. */
export class ControlSession {
  readonly #context: SessionContext;
  readonly #listener: SessionListener;
  readonly #dialled: Dialled;
  readonly #writer: StreamWriter;
  readonly #reports: ReportSender;
  readonly #requests: RequestHandler;
  readonly #statusInHello: HypervisorStatus;
  #phase: SessionPhase = "connecting";
  /** How the session will have ended, once one side has said that it leaves. */
  #leaving: SessionEnd | undefined;
  #resolve: (end: SessionEnd) => void = () => undefined;
  #cancelTimer: () => void = () => undefined;
  #leaveInventory: () => void = () => undefined;

  constructor(dialled: Dialled, context: SessionContext, listener: SessionListener) {
    this.#context = context;
    this.#listener = listener;
    this.#dialled = dialled;
    this.#writer = new StreamWriter(this.#dialled.call, () => this.#cut());
    this.#reports = new ReportSender({ ...context, writer: this.#writer });
    const write = this.#writer.write.bind(this.#writer);
    this.#requests = new RequestHandler({
      ...context,
      reply: (reply) => write(encodeMessage({ $case: "reply", reply })),
    });
    this.#statusInHello = context.hypervisor.status();
  }

  /** Greets the controller and serves it; resolves when the stream is over. */
  run(): Promise<SessionEnd> {
    const { call } = this.#dialled;
    return new Promise((resolve) => {
      this.#resolve = resolve;
      // Every failure also arrives as a status.
      call.on("error", () => undefined);
      call.on("status", (status) => this.#finish(this.#leaving ?? lost(describeStatus(status))));
      call.on("data", (message: ConnectResponse) => this.#receive(message));
      this.#listener.phase("connecting");
      this.#setTimer(WELCOME_MS, () => this.#finish(lost(`no welcome within ${WELCOME_MS} ms`)));
      const hello = this.#context.identity.hello(this.#statusInHello);
      this.#writer.write(encodeMessage({ $case: "hello", hello }), () => this.#greeted());
    });
  }

  /** The agent stops: says so, finishes what is in flight and ends the stream. A second call does nothing. */
  leave(): void {
    switch (this.#phase) {
      case "connecting":
      case "greeting":
        return this.#finish({ kind: "left" });
      case "open":
        this.#requests.refuseNew();
        this.#writer.write(encodeMessage({ $case: "drain", drain: leavingMessage() }));
        return this.#windDown({ kind: "left" });
      case "draining":
        return this.#requests.refuseNew();
      case "ended":
        return;
    }
  }

  #receive(response: ConnectResponse): void {
    switch (this.#phase) {
      case "connecting":
      case "greeting":
        return this.#receiveAnswer(response);
      case "open":
      case "draining":
        return this.#receiveWork(response);
      case "ended":
        return;
    }
  }

  #receiveAnswer({ message }: ConnectResponse): void {
    if (message?.$case === "welcome") return this.#welcomed(message.welcome);
    if (message?.$case === "refusal") return this.#finish({ kind: "refused", refusal: message.refusal });
    this.#finish(lost("the controller spoke before it said welcome"));
  }

  #receiveWork({ message }: ConnectResponse): void {
    switch (message?.$case) {
      case "request":
        if (!this.#requests.accept(message.request)) this.#finish(lost("the controller used a request id twice"));
        return;
      case "cancel":
        return this.#requests.cancel(message.cancel.id);
      case "drain":
        return this.#drained(message.drain);
      case "resendInventory":
        return this.#context.inventory.resend(this.#reports);
      case "peers":
        return this.#listener.peers(message.peers.peers);
      case "welcome":
      case "refusal":
      case undefined:
        return this.#context.metrics.messagesIgnored.inc();
    }
  }

  #greeted(): void {
    if (this.#phase === "connecting") this.#setPhase("greeting");
  }

  #welcomed(welcome: Welcome): void {
    const { identity, hypervisor, inventory } = this.#context;
    if (welcome.protocolVersion !== PROTOCOL_VERSION) {
      return this.#finish(lost(`the controller chose protocol version ${welcome.protocolVersion}`));
    }
    identity.generation = welcome.generation;
    this.#cancelTimer();
    this.#setPhase("open");
    const status = hypervisor.status();
    if (!isDeepStrictEqual(status, this.#statusInHello)) this.#reports.status(status);
    this.#leaveInventory = inventory.join(this.#reports);
    this.#listener.welcomed(welcome.controllerId);
    this.#listener.peers(welcome.peers);
  }

  #drained(drain: Drain): void {
    if (this.#phase === "draining") return;
    const replaced = drain.cause === DrainCause.DRAIN_CAUSE_REPLACED;
    this.#windDown(replaced ? { kind: "replaced" } : { kind: "drained", drain });
  }

  #windDown(end: SessionEnd): void {
    this.#leaving = end;
    this.#setPhase("draining");
    this.#setTimer(MAX_REQUEST_MS, () => this.#endStream(end));
    void this.#requests.idle().then(() => this.#endStream(end));
  }

  #endStream(end: SessionEnd): void {
    if (this.#phase === "ended") return;
    this.#setTimer(STREAM_END_MS, () => this.#finish(end));
    this.#dialled.call.end();
  }

  #cut(): void {
    this.#context.metrics.streamsCut.inc();
    this.#finish(lost("the controller did not take what was sent to it"));
  }

  #finish(end: SessionEnd): void {
    if (this.#phase === "ended") return;
    this.#setPhase("ended");
    this.#cancelTimer();
    this.#leaveInventory();
    this.#requests.cancelAll();
    this.#writer.close();
    this.#dialled.close();
    this.#resolve(end);
  }

  #setPhase(phase: SessionPhase): void {
    this.#phase = phase;
    this.#listener.phase(phase);
  }

  #setTimer(ms: number, action: () => void): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#context.clock.after(ms, action);
  }
}

function lost(detail: string): SessionEnd {
  return { kind: "lost", detail };
}

function describeStatus({ code, details }: StatusObject): string {
  return code === grpcStatus.OK ? "the controller ended the stream" : `${grpcStatus[code]}: ${details}`;
}

function leavingMessage(): Drain {
  return { cause: DrainCause.DRAIN_CAUSE_STOPPING, reconnectAfterMinMs: 0, reconnectAfterMaxMs: 0 };
}
