// SPDX-License-Identifier: Apache-2.0
import type { ServiceError } from "@grpc/grpc-js";
import { Metadata, credentials, status } from "@grpc/grpc-js";
import { readFileSync } from "node:fs";
import { ConsoleServiceClient } from "../proto/gen/spicegate/console/v1/console.js";
import { requireAddress } from "../src/lib/listen-address.js";
import { tlsChannel } from "../src/lib/tls-channel.js";
import { waitUntil } from "./wait-until.js";

const CALL_MS = 5_000;
const SETTLED_MS = 20_000;
// What a controller answers while its agent is still telling it which machines there are.
const NOT_YET: readonly status[] = [status.UNAVAILABLE, status.NOT_FOUND, status.DEADLINE_EXCEEDED];

/** How an API is reached. */
export interface ConsoleApi {
  /** host:port. */
  readonly grpc: string;
  /** The file of its authority; null where it speaks in the clear. */
  readonly ca: string | null;
  /** The caller's bearer token; empty where none is asked for. */
  readonly token: string;
}

/**
 * Asks a controller for consoles of these instances and returns the URLs in their order. It asks again while the
 * controller is still getting to know them, for at most 20 s; any other refusal is thrown.
 */
export async function requestConsoles({ grpc, ca, token }: ConsoleApi, uuids: readonly string[]): Promise<string[]> {
  const client = connect(grpc, ca);
  const metadata = new Metadata();
  if (token !== "") metadata.set("authorization", `Bearer ${token}`);
  try {
    const urls: string[] = [];
    for (const uuid of uuids) urls.push(await requestConsole(client, metadata, uuid));
    return urls;
  } finally {
    client.close();
  }
}

function connect(grpc: string, ca: string | null): ConsoleServiceClient {
  if (ca === null) return new ConsoleServiceClient(grpc, credentials.createInsecure());
  const channel = tlsChannel(requireAddress(grpc).host, readFileSync(ca));
  return new ConsoleServiceClient(grpc, channel.credentials, channel.options);
}

async function requestConsole(client: ConsoleServiceClient, metadata: Metadata, instanceUuid: string): Promise<string> {
  let answer: string | ServiceError | undefined;
  const ask = async (): Promise<boolean> => {
    answer = await callOnce(client, metadata, instanceUuid);
    return typeof answer === "string";
  };
  await waitUntil(ask, { ms: SETTLED_MS, what: `a console of ${instanceUuid}` }).catch((error: unknown) => {
    throw typeof answer === "object" ? answer : error;
  });
  return String(answer);
}

/** The URL, or the error where asking again may help. */
function callOnce(
  client: ConsoleServiceClient,
  metadata: Metadata,
  instanceUuid: string,
): Promise<string | ServiceError> {
  const request = { instanceUuid, consoleType: "spice-html5" };
  const options = { deadline: Date.now() + CALL_MS };
  return new Promise((resolve, reject) => {
    client.getSpiceConsole(request, metadata, options, (error, response) => {
      if (!error) resolve(response.url);
      else if (NOT_YET.includes(error.code)) resolve(error);
      else reject(error);
    });
  });
}
