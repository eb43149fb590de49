// SPDX-License-Identifier: Apache-2.0
// The certificate and key of one end of connections, and the authorities by which it judges the other, read again
// whenever their files change. They are looked at once a second: unlike a notification, that sees every way to replace a
// file, also the link that Kubernetes swaps for a whole folder.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Counter, Gauge } from "prom-client";
import { requireAuthorities } from "./authorities.js";
import type { Clock } from "./clock.js";
import { pause, waitAtMost } from "./deadline.js";
import type { Part } from "./lifecycle.js";
import { TLS_FILES_INTERVAL_MS, TLS_FILES_READ_MS } from "./limits.js";
import type { Log } from "./log.js";
import { messageOf } from "./message-of.js";

/** Where certificate and key are, in PEM form; one file may hold both. */
export interface TlsFileNames {
  /** The certificate, followed by those of its issuers where clients lack them. */
  readonly cert: string;
  readonly key: string;
  /** The authorities that vouch for the other end, one or two; undefined: others judge it, or nobody does. */
  readonly ca?: string | undefined;
}

/** What one end shows and proves, and whom it believes. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
  readonly expiresAt: Date;
}

/** What the files hold. */
type Texts = Pick<TlsIdentity, "cert" | "key" | "ca">;

/** What is counted, each with the listener's name. */
export interface TlsFilesMetrics {
  /** Seconds since 1970. */
  readonly tlsCertificateExpiry: Pick<Gauge<"listener">, "set">;
  readonly tlsReloadFailures: Pick<Counter<"listener">, "inc">;
}

/** What watching files needs. */
export interface TlsFilesOptions {
  /** Of the listener, for people: "proxy". */
  readonly name: string;
  readonly files: TlsFileNames;
  readonly metrics: TlsFilesMetrics;
  readonly log: Log;
  readonly clock: Clock;
  /** How long reading them may take, if not as usual; milliseconds. */
  readonly readMs?: number;
}

/** Reads them. Throws an Error for people where one cannot be read, or holds something else. */
export function readTlsIdentity(files: TlsFileNames): TlsIdentity {
  const { cert, key, ca } = files;
  const read = (file: string): string => readFileSync(file, "utf8");
  return identityFrom(files, { cert: read(cert), key: read(key), ca: ca === undefined ? undefined : read(ca) });
}

/** The identity as the files have it. New files that are no good change nothing but a log and a metric. */
export class TlsFiles implements Part {
  readonly #options: TlsFilesOptions;
  readonly #listeners = new Set<(identity: TlsIdentity) => void>();
  readonly #stopping = new AbortController();
  #identity: TlsIdentity | undefined;
  /** What was taken or refused last, and what was seen at the last look. */
  #judged = "";
  #seen = "";
  #reading: Promise<Texts> | undefined;
  #watching: Promise<void> | undefined;

  constructor(options: TlsFilesOptions) {
    this.#options = options;
  }

  /** Reads them, which must work, and begins to look for changes. */
  start(): void {
    this.#take(readTlsIdentity(this.#options.files));
    this.#watching ??= this.#watch();
  }

  /** Looks no more; the identity stays. Twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
  }

  /** Of the listener, for people. */
  get name(): string {
    return this.#options.name;
  }

  /** What is in effect, from the start on. */
  get identity(): TlsIdentity {
    if (!this.#identity) throw new Error(`the certificate of ${this.#options.name} has not been read`);
    return this.#identity;
  }

  /** Calls back with each identity that replaces the one in effect. Returns the way to stop it. */
  onChange(listener: (identity: TlsIdentity) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    while (await pause(TLS_FILES_INTERVAL_MS, signal, this.#options.clock)) await this.#look();
  }

  /** What has changed counts when it is the same twice: whoever replaces two files may be between them. */
  async #look(): Promise<void> {
    const { files, readMs = TLS_FILES_READ_MS } = this.#options;
    const { signal } = this.#stopping;
    const expired = (): Error => new Error(`${namesOf(files)} cannot be read in time`);
    const options = { ms: readMs, expired, signal };
    const texts = await waitAtMost(options, () => this.#read()).catch((error: unknown) => messageOf(error));
    const before = this.#seen;
    this.#seen = JSON.stringify(texts);
    if (signal.aborted || this.#seen === this.#judged || this.#seen !== before) return;
    this.#judge(texts);
  }

  /** Files can hang: each further read of them would take one more of the few threads that all files and names share. */
  #read(): Promise<Texts> {
    this.#reading ??= readAll(this.#options.files).finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  #judge(texts: Texts | string): void {
    const { files, name, log, metrics } = this.#options;
    this.#judged = this.#seen;
    try {
      if (typeof texts === "string") throw new Error(texts);
      const identity = identityFrom(files, texts);
      this.#take(identity);
      for (const listener of this.#listeners) listener(identity);
      log.info({ listener: name, expiresAt: identity.expiresAt }, "a new certificate is in effect");
    } catch (error) {
      metrics.tlsReloadFailures.inc({ listener: name });
      log.error({ err: error, listener: name }, "the new certificate is no good; the one before stays in effect");
    }
  }

  #take(identity: TlsIdentity): void {
    const { name, metrics } = this.#options;
    this.#identity = identity;
    const { cert, key, ca } = identity;
    this.#judged = JSON.stringify({ cert, key, ca });
    metrics.tlsCertificateExpiry.set({ listener: name }, identity.expiresAt.getTime() / 1_000);
  }
}

async function readAll({ cert, key, ca }: TlsFileNames): Promise<Texts> {
  const read = (file: string): Promise<string> => readFile(file, "utf8");
  return { cert: await read(cert), key: await read(key), ca: ca === undefined ? undefined : await read(ca) };
}

function identityFrom(files: TlsFileNames, { cert, key, ca }: Texts): TlsIdentity {
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new Error(`${files.cert} and ${files.key} hold no certificate with its key: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (ca !== undefined) requireAuthorities(ca, files.ca ?? "");
  return { cert, key, ca, expiresAt: new Date(new X509Certificate(cert).validTo) };
}

function namesOf({ cert, key, ca }: TlsFileNames): string {
  return [...new Set([cert, key, ca])].filter((name) => name !== undefined).join(", ");
}
