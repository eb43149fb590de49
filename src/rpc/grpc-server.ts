// SPDX-License-Identifier: Apache-2.0
import type { ConnectionInjector, ServerOptions, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Server as Listener, Socket } from "node:net";
import { createServer } from "node:net";
import { withDeadline } from "../lib/deadline.js";
import {
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_TIMEOUT_MS,
  MAX_CALLS_PER_CONNECTION,
  MAX_GRPC_CONNECTIONS,
  MAX_MESSAGE_BYTES,
  STOP_GRACE_MS,
} from "../lib/limits.js";
import type { ConnectionsPerAddress } from "../lib/connections-per-address.js";
import { boundPerAddress } from "../lib/connections-per-address.js";
import type { Part } from "../lib/lifecycle.js";
import { connectionsOf, listen, portOf } from "../lib/listen.js";
import type { Address } from "../lib/listen-address.js";
import type { Log } from "../lib/log.js";
import type { ServerTls } from "../lib/tls-server.js";
import { createTlsListener } from "../lib/tls-server.js";
import { SilentCalls } from "./silent-calls.js";

/** A gRPC listener. */
export interface GrpcServerOptions {
  /** The name its log lines give it. */
  readonly name: string;
  readonly listen: Address;
  /** Undefined: it speaks in the clear. */
  readonly tls?: ServerTls | undefined;
  /** Undefined: one address may have all connections. */
  readonly perAddress?: ConnectionsPerAddress;
  /** Adds the services; called once, before it listens. */
  readonly addServices: (server: Server) => void;
  /** Throws for a method, by its full name, that has no rule: then there is no server. */
  readonly requireRule: (path: string) => unknown;
  readonly log: Log;
}

/** Takes no service with a method of which nobody has said who may call it. */
class RuledServer extends Server {
  readonly #requireRule: GrpcServerOptions["requireRule"];

  constructor(options: ServerOptions, requireRule: GrpcServerOptions["requireRule"]) {
    super(options);
    this.#requireRule = requireRule;
  }

  override addService(service: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    for (const { path } of Object.values(service)) this.#requireRule(path);
    super.addService(service, implementation);
  }
}

/**
 * A grpc-js server behind a listener of our own, which encrypts as all listeners here do: what grpc-js offers itself says
 * nothing of handshakes that fail or never end. Stop waits a moment until the peers have taken what was sent and then
 * ends whatever still runs; whoever wants calls and streams to finish waits for them before.
 */
export class GrpcServer implements Part {
  readonly #options: GrpcServerOptions;
  readonly #server: Server;
  readonly #connector: ConnectionInjector;
  #listener: Listener | undefined;
  #connections: ReadonlySet<Socket> = new Set();

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    const settings = {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.keepalive_time_ms": KEEPALIVE_INTERVAL_MS,
      "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
      "grpc.max_concurrent_streams": MAX_CALLS_PER_CONNECTION,
      interceptors: [new SilentCalls().interceptor],
      // Statistics of every call for a debugging service that is not offered here.
      "grpc.enable_channelz": 0,
    };
    this.#server = new RuledServer(settings, options.requireRule);
    options.addServices(this.#server);
    this.#connector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** The port it listens on, of use where the setting was 0. */
  get port(): number {
    return portOf(this.#listener);
  }

  async start(): Promise<void> {
    const { listen: at, tls, perAddress, log, name } = this.#options;
    const listener = tls ? createTlsListener("h2", tls) : createServer();
    listener.on(tls ? "secureConnection" : "connection", (socket: Socket) => this.#serve(socket));
    listener.maxConnections = MAX_GRPC_CONNECTIONS;
    if (perAddress) boundPerAddress(listener, perAddress);
    this.#listener = listener;
    this.#connections = connectionsOf(listener);
    await listen(listener, { name, at, log });
  }

  async stop(): Promise<void> {
    const listener = this.#listener;
    if (!listener) return;
    const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
    await this.#shutDown();
    // Of those amid their handshake grpc-js knows nothing.
    for (const socket of this.#connections) socket.destroy();
    await closed;
  }

  #serve(socket: Socket): void {
    // Its end says all there is to know; an error without a listener would end the process.
    socket.on("error", () => undefined);
    this.#connector.injectConnection(socket);
  }

  async #shutDown(): Promise<void> {
    const expired = (): Error => new Error("a peer holds a stream open");
    try {
      await withDeadline(
        { ms: STOP_GRACE_MS, expired },
        () => new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve())),
      );
    } catch {
      this.#server.forceShutdown();
    }
  }
}
