// SPDX-License-Identifier: Apache-2.0
import type { ServerOptions, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { withDeadline } from "../lib/deadline.js";
import { KEEPALIVE_INTERVAL_MS, KEEPALIVE_TIMEOUT_MS, MAX_MESSAGE_BYTES, STOP_GRACE_MS } from "../lib/limits.js";
import type { Part } from "../lib/lifecycle.js";
import type { Address } from "../lib/listen-address.js";
import { formatAddress } from "../lib/listen-address.js";
import type { Log } from "../lib/log.js";

/** A gRPC listener. */
export interface GrpcServerOptions {
  /** The name its log lines give it. */
  readonly name: string;
  readonly listen: Address;
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
 * A grpc-js server on a loopback address, in plaintext. Stop waits a moment until the peers have taken what was sent and
 * then ends whatever still runs; whoever wants calls and streams to finish waits for them before.
 */
export class GrpcServer implements Part {
  readonly #options: GrpcServerOptions;
  readonly #server: Server;
  #port = 0;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    const settings = {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.keepalive_time_ms": KEEPALIVE_INTERVAL_MS,
      "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
      // Statistics of every call for a debugging service that is not offered here.
      "grpc.enable_channelz": 0,
    };
    this.#server = new RuledServer(settings, options.requireRule);
    options.addServices(this.#server);
  }

  /** The port it listens on, of use where the setting was 0. */
  get port(): number {
    return this.#port;
  }

  async start(): Promise<void> {
    const { listen, log, name } = this.#options;
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(formatAddress(listen), ServerCredentials.createInsecure(), (error, port) => {
        if (error) reject(new Error(`${name} cannot listen on ${formatAddress(listen)}: ${error.message}`));
        else resolve(port);
      });
    });
    log.info({ server: name, listen: formatAddress({ host: listen.host, port: this.#port }) }, "grpc listens");
  }

  async stop(): Promise<void> {
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
