// SPDX-License-Identifier: Apache-2.0
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { credentials } from "@grpc/grpc-js";
import { randomBytes } from "node:crypto";
import type {
  AgentRequest,
  ConnectRequest,
  ConnectResponse,
  Domain,
  Hello,
  Reply,
} from "../../proto/gen/spicegate/agent/v1/agent.js";
import { AgentServiceClient, DisplayKind, DomainState, ListenKind } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { within } from "../harness/within.js";

type ControllerMessage = NonNullable<ConnectResponse["message"]>;
type Kind = ControllerMessage["$case"];
type Message<K extends Kind> = Extract<ControllerMessage, { $case: K }>;

/** The answer to a request; undefined: none yet. */
export type FakeAnswer = Reply["result"];

/** How a fake agent behaves. */
export interface FakeAgentOptions {
  readonly host: string;
  readonly domains?: readonly Domain[];
  readonly hello?: Partial<Hello>;
  /** By default it stays silent. */
  readonly answer?: (request: AgentRequest) => FakeAnswer;
}

/** Where a fake agent's displays are, unless a test says otherwise. */
export const FAKE_ENDPOINT: FakeAnswer = {
  $case: "spiceEndpoint",
  spiceEndpoint: {
    host: "127.0.0.1",
    listen: ListenKind.LISTEN_KIND_ADDRESS,
    port: 5900,
    tlsPort: 0,
    internalAccessPath: "",
  },
};

/** A running domain with one SPICE display. */
export function fakeDomain(instanceUuid: string, more: Partial<Domain> = {}): Domain {
  const displays = [DisplayKind.DISPLAY_KIND_SPICE];
  const name = `instance-${instanceUuid.slice(-4)}`;
  return { instanceUuid, name, state: DomainState.DOMAIN_STATE_RUNNING, displays, owner: undefined, ...more };
}

/** An agent without a hypervisor, over real gRPC: it says hello, sends its domains and answers as a test tells it. */
export class FakeAgent {
  readonly received: ControllerMessage[] = [];
  readonly #client: AgentServiceClient;
  readonly #stream: ClientDuplexStream<ConnectRequest, ConnectResponse>;
  readonly #answer: (request: AgentRequest) => FakeAnswer;
  readonly #taken = new Set<ControllerMessage>();
  readonly #watchers = new Set<() => void>();
  #sequence = 0n;

  private constructor(address: string, { answer = () => undefined }: FakeAgentOptions) {
    this.#answer = answer;
    this.#client = new AgentServiceClient(address, credentials.createInsecure());
    this.#stream = this.#client.connect();
    this.#stream.on("data", ({ message }: ConnectResponse) => this.#receive(message));
    // Its end is seen as a message that does not come.
    this.#stream.on("error", () => undefined);
    this.#stream.on("end", () => this.#stream.end());
  }

  /** Connects; when this returns the controller has let it in and has been sent its domains. */
  static async connect(address: string, options: FakeAgentOptions): Promise<FakeAgent> {
    const agent = new FakeAgent(address, options);
    agent.send({ $case: "hello", hello: helloOf(options) });
    await agent.next("welcome");
    agent.snapshot(options.domains ?? []);
    return agent;
  }

  /** Says something. */
  send(message: NonNullable<ConnectRequest["message"]>): void {
    this.#stream.write({ message });
  }

  /** Reports all domains of the host, in one page. */
  snapshot(domains: readonly Domain[]): void {
    this.#sequence += 1n;
    const inventorySnapshot = { sequence: this.#sequence, domains: [...domains], lastPage: true };
    this.send({ $case: "inventorySnapshot", inventorySnapshot });
  }

  /** Answers a request that was left open. */
  reply({ id }: AgentRequest, result: FakeAnswer): void {
    this.send({ $case: "reply", reply: { id, result } });
  }

  /** The first message of a kind that was not taken before; waits for it. */
  next<K extends Kind>(kind: K): Promise<Message<K>> {
    const found = new Promise<Message<K>>((resolve) => {
      const look = (): void => {
        const fits = (message: ControllerMessage): message is Message<K> => message.$case === kind;
        const message = this.received.filter(fits).find((candidate) => !this.#taken.has(candidate));
        if (!message) return;
        this.#taken.add(message);
        this.#watchers.delete(look);
        resolve(message);
      };
      this.#watchers.add(look);
      look();
    });
    return within(`a message "${kind}"`, found, 10_000);
  }

  /** Drops the connection. */
  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }

  #receive(message: ConnectResponse["message"]): void {
    if (!message) return;
    this.received.push(message);
    if (message.$case === "request") {
      const result = this.#answer(message.request);
      if (result) this.reply(message.request, result);
    }
    for (const look of this.#watchers) look();
  }
}

function helloOf({ host, hello = {} }: FakeAgentOptions): Hello {
  const capabilities = { spice: true, vnc: true, graphicsFd: false };
  const versions = { libvirtVersion: "9.0.0", hypervisorVersion: "7.2.22", detail: "" };
  return {
    host,
    processId: randomBytes(16).toString("hex"),
    generation: 0n,
    agentVersion: "fake",
    minProtocolVersion: 1,
    maxProtocolVersion: 1,
    hypervisor: { available: true, capabilities, ...versions },
    ...hello,
  };
}
