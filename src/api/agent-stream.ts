// SPDX-License-Identifier: Apache-2.0
// One Connect stream, from Hello to its end. agent.proto is the specification; the words in quotes there are the states
// here.
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { ConnectRequest } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { ConnectResponse, RefusalReason } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { AgentLink } from "../agents/agent-link.js";
import type { AgentRouter } from "../agents/agent-router.js";
import type { RefusalRecorder } from "../audit/refusal-recorder.js";
import type { Peer } from "../instances/controller-presence.js";
import type { HostRevocations } from "../identity/host-revocations.js";
import type { HostHello, HostStream } from "../instances/host.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import type { Clock } from "../lib/clock.js";
import { HELLO_MS, REVOKED_WAIT_MS } from "../lib/limits.js";
import { parseAddress } from "../lib/listen-address.js";
import type { Log } from "../lib/log.js";
import { reasonOf, ServiceError } from "../lib/service-error.js";
import { StreamWriter } from "../lib/stream-writer.js";
import { MalformedMessage } from "../rpc/malformed-message.js";
import { peerCertificateOf } from "../rpc/peer-certificate.js";
import { statusFromError } from "../rpc/status-from-error.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import { hostHelloFrom, hypervisorReportFrom } from "./agent-messages.js";
import type { AgentReportsOptions } from "./agent-reports.js";
import { AgentReports } from "./agent-reports.js";

/** The one protocol version this controller speaks. */
export const PROTOCOL_VERSION = 1;

/** What every stream needs. */
export interface AgentStreamOptions {
  /** Names this run of the controller. */
  readonly controllerId: string;
  readonly router: AgentRouter;
  /** The controllers that live, this one among them. */
  readonly peers: () => readonly Peer[];
  readonly instances: AgentReportsOptions["instances"] & Pick<InstanceRegistry, "welcomeHost" | "hostDisconnected">;
  /** Whether a report could be stored now. */
  readonly databaseUp: () => boolean;
  /** Whether agents have to prove the host that they speak for: where the listener has TLS. */
  readonly hostsProven: boolean;
  readonly revocations: Pick<HostRevocations, "isRefused" | "onRevoked">;
  readonly refusals: Pick<RefusalRecorder, "record">;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
  readonly clock: Clock;
}

/** The call as the server hands it over; responses are written already encoded. */
export type AgentCall = ServerDuplexStream<ConnectRequest | MalformedMessage, Buffer>;

type Message = NonNullable<ConnectResponse["message"]>;
type State =
  | { readonly name: "awaiting hello" }
  | { readonly name: "welcoming" }
  | { readonly name: "open"; readonly link: AgentLink; readonly reports: AgentReports; readonly stream: HostStream }
  | { readonly name: "ended" };

/** The controller's half of one stream. */
export class AgentStream {
  readonly #options: AgentStreamOptions;
  readonly #call: AgentCall;
  readonly #writer: StreamWriter;
  #state: State = { name: "awaiting hello" };
  #cancelHelloTimer: () => void = () => undefined;
  #forgetRevocations: () => void = () => undefined;

  constructor(call: AgentCall, options: AgentStreamOptions) {
    this.#call = call;
    this.#options = options;
    this.#writer = new StreamWriter({ write: (bytes, taken) => void call.write(bytes, () => taken()) }, () =>
      this.#fail(new ServiceError("LIMITED", "the agent does not read what it is sent")),
    );
  }

  /** Takes the stream from here on; it ends by itself. */
  run(): void {
    const late = (): void => this.#fail(new ServiceError("INVALID_ARGUMENT", `no Hello within ${HELLO_MS} ms`));
    this.#cancelHelloTimer = this.#options.clock.after(HELLO_MS, late);
    this.#call.on("data", (request: ConnectRequest | MalformedMessage) => this.#receive(request));
    this.#call.on("end", () => this.#end("ended by the agent"));
    this.#call.on("cancelled", () => this.#close("connection lost"));
    this.#call.on("close", () => this.#close("closed"));
  }

  #receive(request: ConnectRequest | MalformedMessage): void {
    if (request instanceof MalformedMessage) return this.#fail(request.error);
    const { message } = request;
    try {
      switch (this.#state.name) {
        case "awaiting hello":
          return this.#receiveFirst(message);
        case "welcoming":
          throw new ServiceError("INVALID_ARGUMENT", "a message before Welcome");
        case "open":
          return this.#receiveNext(message, this.#state);
        case "ended":
          return;
      }
    } catch (error) {
      this.#fail(error instanceof ServiceError ? error : new ServiceError("INTERNAL", "failed", { cause: error }));
    }
  }

  #receiveFirst(message: ConnectRequest["message"]): void {
    if (message?.$case !== "hello") throw new ServiceError("INVALID_ARGUMENT", "the first message must be Hello");
    this.#cancelHelloTimer();
    const { minProtocolVersion, maxProtocolVersion } = message.hello;
    if (this.#options.router.isDraining) return this.#refuse(RefusalReason.REFUSAL_REASON_DRAINING, "stopping");
    if (minProtocolVersion > PROTOCOL_VERSION || maxProtocolVersion < PROTOCOL_VERSION) {
      const text = `this controller speaks protocol ${PROTOCOL_VERSION}, the agent ${minProtocolVersion} to ${maxProtocolVersion}`;
      return this.#refuse(RefusalReason.REFUSAL_REASON_PROTOCOL_UNSUPPORTED, text);
    }
    let hello: HostHello;
    try {
      hello = hostHelloFrom(message.hello);
    } catch (error) {
      return this.#refuse(RefusalReason.REFUSAL_REASON_INVALID_HELLO, error instanceof Error ? error.message : "");
    }
    if (!this.#speaksFor(hello.host)) return this.#refuseHost(hello.host);
    this.#state = { name: "welcoming" };
    this.#heedRevocation(hello.host);
    this.#welcome(hello).catch((error: unknown) => this.#refuseFor(error));
  }

  #speaksFor(host: string): boolean {
    return !this.#options.hostsProven || peerCertificateOf(this.#call)?.hosts.includes(host) === true;
  }

  #refuseHost(host: string): void {
    const subject = this.#noteRefusal("HOST_MISMATCH", host);
    const text = `the certificate is for ${subject || "no host"}, not for ${host}: agent.host and the name in agent.cert must be the same`;
    this.#refuse(RefusalReason.REFUSAL_REASON_HOST_MISMATCH, text);
  }

  #refuseRevoked(host: string): void {
    this.#noteRefusal("HOST_REVOKED", host);
    const text = `host ${host} was revoked: to let it in again, make a token with \`spicegate host token --host ${host}\`, put it into the host's agent.join_token_file and start its agent again`;
    this.#refuse(RefusalReason.REFUSAL_REASON_HOST_REVOKED, text, REVOKED_WAIT_MS);
  }

  /** Into the audit, with the hosts of the certificate, which are returned. */
  #noteRefusal(reason: "HOST_MISMATCH" | "HOST_REVOKED", host: string): string {
    const subject = peerCertificateOf(this.#call)?.hosts.join(", ") ?? "";
    const clientAddress = parseAddress(this.#call.getPeer())?.host ?? "";
    const actor = { subject, projectId: "", requestId: "", clientAddress };
    this.#options.refusals.record({ actor, reason, host });
    return subject;
  }

  /** From before the host is judged on: it may be revoked while it is welcomed. */
  #heedRevocation(host: string): void {
    this.#forgetRevocations = this.#options.revocations.onRevoked((revoked) => {
      if (revoked === host) void this.#cutIfRevoked(host);
    });
  }

  async #cutIfRevoked(host: string): Promise<void> {
    try {
      if (!(await this.#isRevoked(host))) return;
      this.#fail(new ServiceError("PERMISSION_DENIED", `host ${host} was revoked`));
    } catch (error) {
      this.#fail(
        new ServiceError("DATABASE_UNAVAILABLE", "whether the host was revoked is not known", { cause: error }),
      );
    }
  }

  #isRevoked(host: string): Promise<boolean> {
    return this.#options.revocations.isRefused(host, peerCertificateOf(this.#call)?.serial);
  }

  #receiveNext(message: ConnectRequest["message"], { link, reports }: State & { name: "open" }): void {
    switch (message?.$case) {
      case "reply":
        return link.receive(message.reply);
      case "domainEvent":
        return reports.event(message.domainEvent);
      case "inventorySnapshot":
        return reports.snapshotPage(message.inventorySnapshot);
      case "hypervisorStatus":
        return reports.hypervisor(hypervisorReportFrom(message.hypervisorStatus));
      case "drain":
        return link.agentDrains();
      case "hello":
        throw new ServiceError("INVALID_ARGUMENT", "a second Hello");
      case undefined:
        // Of a kind that a newer agent knows.
        return this.#options.metrics.agentMessagesIgnored.inc({ kind: "unknown_message" });
    }
  }

  async #welcome(hello: HostHello): Promise<void> {
    const { instances, router, controllerId, peers } = this.#options;
    if (await this.#isRevoked(hello.host)) {
      this.#refuseRevoked(hello.host);
      return;
    }
    const stream = await instances.welcomeHost(hello);
    if (this.#state.name === "ended") return instances.hostDisconnected(stream);
    const { generation } = stream;
    const link = this.#newLink(hello, generation);
    this.#state = { name: "open", link, reports: this.#newReports(stream), stream };
    router.add(link);
    this.#send({
      $case: "welcome",
      welcome: { controllerId, generation, protocolVersion: PROTOCOL_VERSION, peers: [...peers()] },
    });
    this.#options.log.info(
      { host: hello.host, generation: String(generation), peer: this.#call.getPeer() },
      "agent connected",
    );
  }

  #newLink(hello: HostHello, generation: bigint): AgentLink {
    const { host, processId, agentVersion } = hello;
    return new AgentLink({
      identity: { host, processId, generation, agentVersion },
      send: (message) => this.#send(message),
      end: () => this.#end("drained"),
      metrics: this.#options.metrics,
    });
  }

  #newReports(stream: HostStream): AgentReports {
    const { instances, databaseUp, clock, log, metrics } = this.#options;
    const resend = (): void => this.#send({ $case: "resendInventory", resendInventory: {} });
    return new AgentReports({
      stream,
      instances,
      databaseUp,
      clock,
      log,
      metrics,
      resend,
      fail: (error) => this.#fail(error),
    });
  }

  #send(message: Message): void {
    this.#writer.write(Buffer.from(ConnectResponse.encode({ message }).finish()));
  }

  #refuseFor(error: unknown): void {
    if (reasonOf(error) === "DATABASE_UNAVAILABLE") {
      return this.#refuse(RefusalReason.REFUSAL_REASON_DATABASE_UNAVAILABLE, "the database does not answer");
    }
    this.#fail(new ServiceError("INTERNAL", "the agent could not be welcomed", { cause: error }));
  }

  #refuse(reason: RefusalReason, message: string, retryAfterMs = 0): void {
    if (this.#state.name === "ended") return;
    const peer = this.#call.getPeer();
    this.#options.metrics.agentStreamsRefused.inc({ reason: REFUSAL_NAMES[reason] });
    this.#options.log.warn({ peer, reason: REFUSAL_NAMES[reason], detail: message }, "agent refused");
    this.#send({ $case: "refusal", refusal: { reason, message, retryAfterMs } });
    this.#end("refused");
  }

  /** Ends the stream with the error's status. */
  #fail(error: ServiceError): void {
    if (this.#state.name === "ended") return;
    const peer = this.#call.getPeer();
    this.#options.log.warn({ peer, reason: error.reason, detail: error.message, err: error.cause }, "agent stream cut");
    this.#close(error.reason);
    this.#call.emit("error", statusFromError(error));
  }

  #end(cause: string): void {
    if (this.#state.name === "ended") return;
    this.#close(cause);
    this.#call.end();
  }

  #close(cause: string): void {
    const state = this.#state;
    if (state.name === "ended") return;
    this.#state = { name: "ended" };
    this.#cancelHelloTimer();
    this.#forgetRevocations();
    this.#writer.close();
    this.#options.metrics.agentStreamsEnded.inc({ cause });
    if (state.name === "open") this.#leave(state, cause);
  }

  #leave({ link, reports, stream }: State & { name: "open" }, cause: string): void {
    const { router, instances, log } = this.#options;
    const { host } = link.identity;
    router.remove(link);
    const message = `the agent of host ${host} went away`;
    link.close(new ServiceError("AGENT_UNAVAILABLE", message, { metadata: { host } }));
    log.info({ host, cause }, "agent disconnected");
    reports
      .close()
      .then(() => instances.hostDisconnected(stream))
      .catch((error: unknown) => log.info({ err: error, host }, "the end of an agent's stream was not stored"));
  }
}

const REFUSAL_NAMES: Record<RefusalReason, string> = {
  [RefusalReason.REFUSAL_REASON_UNSPECIFIED]: "unspecified",
  [RefusalReason.REFUSAL_REASON_PROTOCOL_UNSUPPORTED]: "protocol_unsupported",
  [RefusalReason.REFUSAL_REASON_INVALID_HELLO]: "invalid_hello",
  [RefusalReason.REFUSAL_REASON_DRAINING]: "draining",
  [RefusalReason.REFUSAL_REASON_DATABASE_UNAVAILABLE]: "database_unavailable",
  [RefusalReason.REFUSAL_REASON_HOST_MISMATCH]: "host_mismatch",
  [RefusalReason.REFUSAL_REASON_HOST_REVOKED]: "host_revoked",
  [RefusalReason.UNRECOGNIZED]: "unknown",
};
