// SPDX-License-Identifier: Apache-2.0
import type { ClientDuplexStream, StatusObject } from "@grpc/grpc-js";
import { credentials, status } from "@grpc/grpc-js";
import { randomBytes } from "node:crypto";
import type { Domain, Hello } from "../../proto/gen/spicegate/agent/v1/agent.js";
import {
  AgentServiceClient,
  AgentServiceService,
  ConnectRequest,
  DisplayKind,
  DomainState,
} from "../../proto/gen/spicegate/agent/v1/agent.js";
import type { ConnectResponse } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { errorDetails } from "../harness/grpc-client.js";
import { within } from "../harness/within.js";

type AgentMessage = NonNullable<ConnectRequest["message"]>;
type ControllerMessage = NonNullable<ConnectResponse["message"]>;
type Kind = ControllerMessage["$case"];
type Message<K extends Kind> = Extract<ControllerMessage, { $case: K }>;

/** How a stream ended: the name of the gRPC code, and our reason where the status carries one. */
export interface StreamEnd {
  readonly code: string;
  readonly reason: string | undefined;
  readonly details: string;
}

const OPTIONS = { "grpc.use_local_subchannel_pool": 1, "grpc.max_send_message_length": -1 };
const PATIENCE_MS = 10_000;

/** The other end of a Connect stream without any manners: it says exactly what a test tells it to, and nothing else. */
export class RawAgent {
  /** How the stream ended. */
  readonly ended: Promise<StreamEnd>;
  /** Everything the controller has said. */
  readonly received: ControllerMessage[] = [];
  readonly #client: AgentServiceClient;
  readonly #call: ClientDuplexStream<Buffer, ConnectResponse>;
  readonly #listeners = new Set<() => void>();

  /** Opens a stream; one that never reads takes nothing from the connection. */
  constructor(address: string, { reads = true }: { readonly reads?: boolean } = {}) {
    this.#client = new AgentServiceClient(address, credentials.createInsecure(), OPTIONS);
    const { path, responseDeserialize } = AgentServiceService.connect;
    this.#call = this.#client.makeBidiStreamRequest(path, (bytes: Buffer) => bytes, responseDeserialize);
    this.#call.on("error", () => undefined);
    this.ended = new Promise((resolve) => {
      this.#call.on("status", (end: StatusObject) => resolve(describe(end)));
    });
    if (reads) this.#call.on("data", (response: ConnectResponse) => this.#receive(response));
  }

  /** A stream that has been welcomed. */
  static async join(address: string, hello: Partial<Hello> = {}): Promise<RawAgent> {
    const agent = new RawAgent(address);
    agent.hello(hello);
    await agent.next("welcome");
    return agent;
  }

  /** Introduces itself, well unless told otherwise. */
  hello(overrides: Partial<Hello> = {}): void {
    this.send({ $case: "hello", hello: helloOf(overrides) });
  }

  /** Says something. */
  send(message: AgentMessage): void {
    this.sendBytes(Buffer.from(ConnectRequest.encode({ message }).finish()));
  }

  /** Says anything at all, as one message. */
  sendBytes(bytes: Buffer): void {
    this.#call.write(bytes);
  }

  /** Says anything at all, and waits until the connection has taken it; false once the stream is over. */
  sendAndWait(bytes: Buffer): Promise<boolean> {
    if (this.#call.destroyed) return Promise.resolve(false);
    const taken = new Promise<boolean>((resolve) => {
      this.#call.write(bytes, (error: unknown) => resolve(!error));
    });
    return Promise.race([taken, this.ended.then(() => false)]);
  }

  /** The first message of that kind that fits; waits for it. */
  next<K extends Kind>(kind: K, fits: (message: Message<K>) => boolean = () => true): Promise<Message<K>> {
    const found = new Promise<Message<K>>((resolve) => {
      const look = (): void => {
        const is = (message: ControllerMessage): message is Message<K> => message.$case === kind;
        const message = this.received.filter(is).find(fits);
        if (!message) return;
        this.#listeners.delete(look);
        resolve(message);
      };
      this.#listeners.add(look);
      look();
    });
    return within(`a message "${kind}"`, found, PATIENCE_MS);
  }

  /** How the stream ended; waits for it. */
  end(): Promise<StreamEnd> {
    return within("the end of the stream", this.ended, PATIENCE_MS);
  }

  /** Leaves without a word. Twice is harmless. */
  close(): void {
    this.#call.cancel();
    this.#client.close();
  }

  #receive({ message }: ConnectResponse): void {
    if (message) this.received.push(message);
    for (const look of this.#listeners) look();
  }
}

/** A Hello of an agent that is in order. */
export function helloOf(overrides: Partial<Hello> = {}): Hello {
  return {
    host: "raw-host",
    processId: randomBytes(16).toString("hex"),
    generation: 0n,
    agentVersion: "0.0.0",
    minProtocolVersion: 1,
    maxProtocolVersion: 1,
    hypervisor: {
      available: true,
      libvirtVersion: "9.0.0",
      hypervisorVersion: "7.2.0",
      capabilities: { spice: true, vnc: true, graphicsFd: false },
      detail: "",
    },
    ...overrides,
  };
}

/** A running domain with a SPICE display, which belongs to nobody. */
export function domainOf(instanceUuid: string, overrides: Partial<Domain> = {}): Domain {
  return {
    instanceUuid,
    name: "raw",
    state: DomainState.DOMAIN_STATE_RUNNING,
    displays: [DisplayKind.DISPLAY_KIND_SPICE],
    owner: undefined,
    ...overrides,
  };
}

function describe({ code, details, metadata }: StatusObject): StreamEnd {
  return { code: status[code], reason: errorDetails(metadata).info?.reason, details };
}
