// SPDX-License-Identifier: Apache-2.0
// What an operator does once so that nobody but the right ones get in, by the same commands.
import type { ConsoleApi } from "./console-request.js";
import { runSpicegate } from "./spicegate-programs.js";

/** Files of an authority and of the certificate that it has issued for controllers on this machine. */
export interface DemoAuthority {
  /** The authority's certificate, for everybody. */
  readonly ca: string;
  readonly caKey: string;
  readonly cert: string;
  readonly key: string;
}

/** Makes an authority of its own in a folder, and a certificate for controllers on loopback. */
export async function makeAuthority(folder: string): Promise<DemoAuthority> {
  await runSpicegate(["ca", "init", "--out", folder, "--name", "spicegate demo"]);
  await runSpicegate(["ca", "issue", "--ca", folder, "--name", "localhost", "--address", "127.0.0.1", "--out", folder]);
  const file = (name: string): string => `${folder}/${name}`;
  return { ca: file("ca.pem"), caKey: file("ca.key"), cert: file("controller.pem"), key: file("controller.key") };
}

/** The first user token of a database that has none: an admin's. */
export async function makeFirstToken(configFile: string): Promise<string> {
  return runSpicegate(["--config", configFile, "user", "token", "--first", "--subject", "demo"]);
}

/** A token with which a host's agent gets its certificate. */
export async function makeJoinToken({ grpc, ca, token }: ConsoleApi, host: string): Promise<string> {
  const reached = ca === null ? [] : ["--cacert", ca];
  return runSpicegate(["host", "token", "--host", host, "--api", grpc, ...reached], { SPICEGATE_TOKEN: token });
}
