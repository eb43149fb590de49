// SPDX-License-Identifier: Apache-2.0
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import { randomBytes } from "node:crypto";
import type {
  AgentRequest,
  ConnectRequest,
  Drain,
  Hello,
  Peer,
  Refusal,
  Reply,
  Welcome,
} from "../../proto/gen/spicegate/agent/v1/agent.js";
import { AgentServiceService, ConnectResponse } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { within } from "../harness/within.js";

type AgentMessage = NonNullable<ConnectRequest["message"]>;
type ControllerMessage = NonNullable<ConnectResponse["message"]>;
type Kind = AgentMessage["$case"];
type Message<K extends Kind> = Extract<AgentMessage, { $case: K }>;
type Operation = NonNullable<AgentRequest["operation"]>;

/** What a controller does with a Hello. */
export type Greeting = "welcome" | "refuse" | "nothing" | "fail" | "speak early" | "never read";

/**
 * A controller on loopback that speaks the protocol over real gRPC, and breaks it where a test wants that. Its streams
 * send bytes, so that they can send anything.
 */
export class FakeController {
  /** What the next streams are greeted with. */
  greeting: Greeting = "welcome";
  refusal: Refusal = { reason: 3, message: "stopping", retryAfterMs: 0 };
  welcome: Welcome = {
    controllerId: randomBytes(16).toString("hex"),
    generation: 7n,
    protocolVersion: 1,
    peers: [],
  };
  /** Every stream so far, the newest last. */
  readonly streams: FakeStream[] = [];
  #server: Server;
  #port = 0;
  #waiting: ((stream: FakeStream) => void)[] = [];
  #unclaimed: FakeStream[] = [];

  constructor() {
    this.#server = this.#makeServer();
  }

  /** As other controllers tell of it. */
  get peer(): Peer {
    return { controllerId: this.welcome.controllerId, address: this.address };
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Listens, on the port it had before where it had one. */
  async start(): Promise<void> {
    this.#server = this.#makeServer();
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(this.address, ServerCredentials.createInsecure(), (error, port) => {
        if (error) reject(error);
        else resolve(port);
      });
    });
  }

  /** Drops every connection and no longer listens. */
  stop(): void {
    this.#server.forceShutdown();
  }

  /** The next stream that no test has taken yet, after its Hello. */
  nextStream(): Promise<FakeStream> {
    const stream = this.#unclaimed.shift();
    if (stream) return Promise.resolve(stream);
    return within("a stream", new Promise((resolve) => this.#waiting.push(resolve)));
  }

  #makeServer(): Server {
    const server = new Server({ "grpc.max_send_message_length": -1 });
    const connect = { ...AgentServiceService.connect, responseSerialize: (bytes: Buffer) => bytes };
    server.addService({ connect }, { connect: (call: FakeCall) => this.#serve(call) });
    return server;
  }

  #serve(call: FakeCall): void {
    const stream = new FakeStream(call);
    this.streams.push(stream);
    void stream.next("hello").then(
      () => this.#greet(stream),
      () => undefined,
    );
  }

  #greet(stream: FakeStream): void {
    switch (this.greeting) {
      case "welcome":
        stream.send({ $case: "welcome", welcome: this.welcome });
        break;
      case "never read":
        stream.stopReading();
        stream.send({ $case: "welcome", welcome: this.welcome });
        break;
      case "refuse":
        stream.send({ $case: "refusal", refusal: this.refusal });
        stream.end();
        break;
      case "speak early":
        stream.send({ $case: "resendInventory", resendInventory: {} });
        break;
      case "fail":
        stream.fail();
        break;
      case "nothing":
        break;
    }
    const waiting = this.#waiting.shift();
    if (waiting) waiting(stream);
    else this.#unclaimed.push(stream);
  }
}

type FakeCall = ServerDuplexStream<ConnectRequest, Buffer>;

/** One agent's stream, seen from the controller. */
export class FakeStream {
  readonly #call: FakeCall;
  /** Everything the agent has said. */
  readonly received: AgentMessage[] = [];
  /** Resolves when the agent, or the connection, has ended the stream. */
  readonly ended: Promise<void>;
  #taken = new Set<AgentMessage>();
  #onMessage = new Set<() => void>();
  #nextId = 1n;

  constructor(call: FakeCall) {
    this.#call = call;
    call.on("data", ({ message }: ConnectRequest) => {
      if (message) this.received.push(message);
      for (const look of this.#onMessage) look();
    });
    call.on("error", () => undefined);
    this.ended = new Promise((resolve) => {
      call.on("end", resolve);
      call.on("cancelled", resolve);
      call.on("close", resolve);
    });
    // A polite controller ends its half when the agent has ended.
    call.on("end", () => call.end());
  }

  get hello(): Hello {
    return this.all("hello")[0]!.hello;
  }

  /** All messages of a kind so far. */
  all<K extends Kind>(kind: K): Message<K>[] {
    return this.received.filter((message): message is Message<K> => message.$case === kind);
  }

  /** The first message of a kind that was not taken before; waits for it. */
  next<K extends Kind>(kind: K): Promise<Message<K>> {
    return this.first(kind, () => true);
  }

  /** The first message of a kind that fits and was not taken before; waits for it. */
  first<K extends Kind>(kind: K, fits: (message: Message<K>) => boolean): Promise<Message<K>> {
    const found = new Promise<Message<K>>((resolve) => {
      const look = (): void => {
        const message = this.all(kind).find((candidate) => !this.#taken.has(candidate) && fits(candidate));
        if (!message) return;
        this.#taken.add(message);
        this.#onMessage.delete(look);
        resolve(message);
      };
      this.#onMessage.add(look);
      look();
    });
    return within(`a message "${kind}"`, found);
  }

  /** Says something. */
  send(message: ControllerMessage): void {
    this.sendBytes(Buffer.from(ConnectResponse.encode({ message }).finish()));
  }

  /** Says anything at all. */
  sendBytes(bytes: Buffer): void {
    this.#call.write(bytes);
  }

  /** Sends a request without waiting; returns its id. */
  request(operation: Operation | undefined, timeoutMs = 5_000, id = this.#nextId++): bigint {
    this.send({ $case: "request", request: { id, timeoutMs, requestId: `req-${id}`, operation } });
    return id;
  }

  /** Sends a request and waits for its reply. */
  async ask(operation: Operation | undefined, timeoutMs?: number): Promise<Reply["result"]> {
    const id = this.request(operation, timeoutMs);
    return this.reply(id);
  }

  /** Waits for the reply to a request. */
  async reply(id: bigint): Promise<Reply["result"]> {
    const { reply } = await this.first("reply", (message) => message.reply.id === id);
    return reply.result;
  }

  /** Says that the controller leaves. */
  drain(drain: Partial<Drain> = {}): void {
    this.send({
      $case: "drain",
      drain: { cause: 1, reconnectAfterMinMs: 0, reconnectAfterMaxMs: 0, ...drain },
    });
  }

  /** No longer takes anything from the connection. */
  stopReading(): void {
    this.#call.pause();
  }

  /** Ends the stream in an orderly way. */
  end(): void {
    this.#call.end();
  }

  /** Ends the stream with an error. */
  fail(): void {
    this.#call.emit("error", { code: status.INVALID_ARGUMENT, details: "not like this" });
  }
}
