// SPDX-License-Identifier: Apache-2.0
// How the host comes to its first certificate. The join token is a secret: it is sent only to somebody whose certificate
// is good for the dialled name and was signed by the authority that the token itself names.
import type { ServiceError as GrpcError } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import { readFileSync, rmSync } from "node:fs";
import type { EnrollResponse } from "../proto/gen/spicegate/agent/v1/enrollment.js";
import { Backoff } from "../src/lib/backoff.js";
import { pause } from "../src/lib/deadline.js";
import type { JoinToken } from "../src/lib/join-token.js";
import { parseJoinToken } from "../src/lib/join-token.js";
import { ENROLL_BACKOFF } from "../src/lib/limits.js";
import type { Address } from "../src/lib/listen-address.js";
import { formatAddress, requireAddress } from "../src/lib/listen-address.js";
import type { Log } from "../src/lib/log.js";
import { messageOf } from "../src/lib/message-of.js";
import { EnrollmentClient } from "./enrollment-client.js";
import type { IdentityFolder } from "./identity-folder.js";
import { findAuthority } from "./pinned-authority.js";
import type { NewKey } from "./signing-request.js";
import { createKey } from "./signing-request.js";

/** What enrolment needs. */
export interface EnrollmentOptions {
  readonly host: string;
  /** host:port of the API of each controller that may be asked. */
  readonly addresses: readonly string[];
  readonly folder: IdentityFolder;
  /** Where the join token is; it is deleted once it is used. */
  readonly tokenFile: string;
  readonly log: Log;
  /** Gives up, with an error. */
  readonly signal?: AbortSignal;
  readonly backoff?: Backoff;
}

/** There is no certificate, and no further attempt would bring one: a person must do what the message says. */
export class EnrollmentError extends Error {
  override readonly name = "EnrollmentError";
}

/** What no other controller, and no later attempt, would answer differently. */
const FINAL: readonly (status | undefined)[] = [status.UNAUTHENTICATED, status.INVALID_ARGUMENT];

/**
 * Sees to it that the folder holds a certificate that can be used. A join token goes before what is there, so that a host
 * that was revoked comes in again; where it is refused, what is there is used. While no controller answers it goes on
 * asking. Throws EnrollmentError.
 */
export async function ensureEnrolled(options: EnrollmentOptions): Promise<void> {
  const { folder, tokenFile, host, log } = options;
  const problem = problemOf(folder);
  const token = readToken(tokenFile);
  if (!token && problem === undefined) return;
  if (!token)
    throw new EnrollmentError(`${problem ?? ""}, and there is no join token in ${tokenFile}: ${advice(host)}`);
  try {
    await enroll(token, options);
  } catch (error) {
    if (problem !== undefined || !(error instanceof EnrollmentError)) throw error;
    log.warn({ tokenFile, detail: error.message }, "the join token is of no use; the certificate from before is used");
    return;
  }
  log.info({ host, file: folder.certFile }, "enrolled: this host has a certificate");
  forget(tokenFile, log);
}

function forget(tokenFile: string, log: Log): void {
  try {
    rmSync(tokenFile, { force: true });
  } catch (error) {
    log.warn({ tokenFile, detail: messageOf(error) }, "the used join token could not be deleted: delete it");
  }
}

async function enroll(token: JoinToken, options: EnrollmentOptions): Promise<void> {
  const { addresses, log, signal, backoff = new Backoff(ENROLL_BACKOFF) } = options;
  prepare(options.folder);
  const newKey = await createKey();
  for (let attempt = 0; ; attempt += 1) {
    const address = requireAddress(addresses[attempt % addresses.length] ?? "");
    try {
      save(await ask(address, token, newKey, signal), newKey, options);
      return;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof EnrollmentError) throw error;
      log.warn({ controller: formatAddress(address), detail: messageOf(error) }, "could not enrol; trying again");
    }
    if (!(await pause(backoff.next(), signal))) signal?.throwIfAborted();
  }
}

async function ask(
  address: Address,
  { token, fingerprint }: JoinToken,
  { signingRequest }: NewKey,
  signal: AbortSignal = new AbortController().signal,
): Promise<EnrollResponse> {
  const authority = await findAuthority(address, fingerprint, signal);
  const client = new EnrollmentClient(address, authority);
  try {
    return await client.enroll({ joinToken: token, signingRequest });
  } catch (error) {
    if (!FINAL.includes((error as GrpcError).code)) throw error;
    throw new EnrollmentError(`the controller refuses the join token: ${(error as GrpcError).details}`);
  } finally {
    client.close();
  }
}

/** A token is used up by now, so whatever is wrong with the answer needs another one. */
function save({ host, certificate }: EnrollResponse, { key }: NewKey, options: EnrollmentOptions): void {
  if (host !== options.host) {
    const problem = `the join token was made for host ${host}, and this one is ${options.host} (agent.host)`;
    throw new EnrollmentError(`${problem}: ${advice(options.host)}`);
  }
  const { certificateChain = "", authorities = "" } = certificate ?? {};
  try {
    options.folder.save({ certificateChain, authorities, key });
  } catch (error) {
    throw new EnrollmentError(`${messageOf(error)}; the join token is used up: ${advice(options.host)}`);
  }
}

/** Before a token is used up in vain. */
function prepare(folder: IdentityFolder): void {
  try {
    folder.prepare();
  } catch (error) {
    throw new EnrollmentError(messageOf(error));
  }
}

/** Why there is no certificate that can be used; undefined where there is one. */
function problemOf(folder: IdentityFolder): string | undefined {
  try {
    folder.read();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

/** Undefined where there is no file. */
function readToken(file: string): JoinToken | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new EnrollmentError(`the join token cannot be read: ${messageOf(error)}`);
  }
  const token = parseJoinToken(text);
  if (!token) throw new EnrollmentError(`${file} holds no join token (sgj_…)`);
  return token;
}

function advice(host: string): string {
  return `make one with \`spicegate host token --host ${host}\`, put it into that file and start the agent again`;
}
