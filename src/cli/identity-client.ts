// SPDX-License-Identifier: Apache-2.0
// The commands' way to a controller: its IdentityService over gRPC.
import type { ClientUnaryCall, ServiceError as GrpcError } from "@grpc/grpc-js";
import { credentials, Metadata, status } from "@grpc/grpc-js";
import type { Command } from "commander";
import { Option } from "commander";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { ErrorInfo } from "../../proto/gen/google/rpc/error_details.js";
import { Status } from "../../proto/gen/google/rpc/status.js";
import { IdentityServiceClient } from "../../proto/gen/spicegate/identity/v1/identity.js";
import { isLoopback, parseAddress } from "../lib/listen-address.js";
import { CLI_CALL_MS } from "../lib/limits.js";
import { messageOf } from "../lib/message-of.js";
import type { TlsChannel } from "../lib/tls-channel.js";
import { tlsChannel } from "../lib/tls-channel.js";
import { CommandError, EXIT } from "./reporting.js";

/** What the options of `withApiOptions` say. */
export interface ApiOptions {
  /** host:port. */
  readonly api: string;
  /** PEM file of the authorities by which the controller is known. */
  readonly cacert?: string;
  readonly tokenFile?: string;
}

/** A method of the client, bound to it. */
type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: { readonly deadline: number },
  done: (error: GrpcError | null, response: Response) => void,
) => ClientUnaryCall;

/** Adds the options that say which controller is asked, and by whom. A token is no argument: everybody could read it. */
export function withApiOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--api <host:port>", "where the controller's api.listen is")
        .env("SPICEGATE_API")
        .default("127.0.0.1:50051"),
    )
    .addOption(
      new Option("--cacert <file>", "speak TLS with a controller whose authority is in it").env("SPICEGATE_CACERT"),
    )
    .option("--token-file <file>", "holds your token and nothing else (default: $SPICEGATE_TOKEN)");
}

/** Asks one controller on behalf of one caller. */
export class IdentityClient {
  readonly #client: IdentityServiceClient;
  readonly #metadata = new Metadata();
  readonly #api: string;

  /** It connects when it is asked something. Throws CommandError for options that are no good. */
  constructor(options: ApiOptions, env: Readonly<Record<string, string | undefined>> = process.env) {
    const token = readToken(options, env);
    this.#api = options.api;
    const channel = channelTo(options);
    this.#client = new IdentityServiceClient(options.api, channel.credentials, {
      ...channel.options,
      "grpc.service_config_disable_resolution": 1,
      // A token in the clear is for this machine alone, not for a proxy of the environment.
      "grpc.enable_http_proxy": 0,
      "grpc.enable_channelz": 0,
    });
    if (token !== undefined) this.#metadata.set("authorization", `Bearer ${token}`);
  }

  /** One answer. Throws CommandError with the reason and what to do. */
  ask<Request, Response>(
    method: (client: IdentityServiceClient) => Method<Request, Response>,
    request: Request,
  ): Promise<Response> {
    const options = { deadline: Date.now() + CLI_CALL_MS };
    return new Promise((resolve, reject) => {
      method(this.#client)(request, this.#metadata, options, (error, response) => {
        if (error) reject(commandErrorFrom(error, this.#api));
        else resolve(response);
      });
    });
  }

  /** Closes the connection. Twice is harmless. */
  close(): void {
    this.#client.close();
  }
}

/** Asks within one connection, and closes it. */
export async function withIdentityClient<T>(
  options: ApiOptions,
  work: (client: IdentityClient) => Promise<T>,
): Promise<T> {
  const client = new IdentityClient(options);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** How the controller is reached: on this machine in the clear unless told otherwise, beyond it never. */
function channelTo({ api, cacert }: ApiOptions): TlsChannel {
  const address = parseAddress(api);
  if (!address) throw new CommandError(`--api ${api}: must be host:port, for example 127.0.0.1:50051`);
  if (cacert !== undefined) return tlsChannel(address.host, readAuthorities(cacert));
  if (isLoopback(address.host)) return { credentials: credentials.createInsecure(), options: {} };
  return tlsChannel(address.host, undefined);
}

function readAuthorities(file: string): Buffer {
  const pem = readOption("--cacert", file);
  try {
    if (!pem.includes("-----BEGIN CERTIFICATE-----")) throw new Error("it holds no certificate in PEM form");
    createSecureContext({ ca: pem });
    return pem;
  } catch (error) {
    throw new CommandError(`--cacert ${file}: ${messageOf(error)}`);
  }
}

function readToken({ tokenFile }: ApiOptions, env: Readonly<Record<string, string | undefined>>): string | undefined {
  const given = tokenFile === undefined ? env["SPICEGATE_TOKEN"] : readOption("--token-file", tokenFile).toString();
  const token = given?.trim();
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new CommandError(`${tokenFile === undefined ? "SPICEGATE_TOKEN" : tokenFile} holds no token`);
  }
  return token;
}

function readOption(name: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new CommandError(`${name}: ${messageOf(error)}`);
  }
}

function commandErrorFrom(error: GrpcError, api: string): CommandError {
  const { code, details } = error;
  const what = `${reasonOf(error)}: ${details}`;
  if (code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED) {
    return new CommandError(
      `${what}\nIs a controller at ${api}? --api and --cacert say which one is asked.`,
      EXIT.NO_ANSWER,
    );
  }
  if (code === status.UNAUTHENTICATED) {
    const first =
      "the very first one comes from `spicegate user token --first --subject NAME` on a controller's machine";
    return new CommandError(`${what}\nYour token is taken from SPICEGATE_TOKEN or --token-file; ${first}.`);
  }
  if (code === status.PERMISSION_DENIED) return new CommandError(`${what}\nAsk with an administrator's token.`);
  return new CommandError(what);
}

/** Of this system where the error is its own, else gRPC's. */
function reasonOf({ code, metadata }: GrpcError): string {
  const [bytes] = metadata.get("grpc-status-details-bin");
  const details = Buffer.isBuffer(bytes) ? Status.decode(bytes).details : [];
  const info = details.find(({ typeUrl }) => typeUrl.endsWith("/google.rpc.ErrorInfo"));
  return info ? ErrorInfo.decode(info.value).reason : status[code];
}
