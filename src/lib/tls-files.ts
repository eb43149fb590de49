// SPDX-License-Identifier: Apache-2.0
// The certificate and key of one end of connections, and the authorities by which it judges the other, read again
// whenever their files change.
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { Counter, Gauge } from "prom-client";
import { requireAuthorities } from "./authorities.js";
import type { Clock } from "./clock.js";
import type { Part } from "./lifecycle.js";
import type { Log } from "./log.js";
import { messageOf } from "./message-of.js";
import { WatchedFiles } from "./watched-files.js";

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
  readonly #files: WatchedFiles;
  readonly #listeners = new Set<(identity: TlsIdentity) => void>();
  #identity: TlsIdentity | undefined;

  constructor(options: TlsFilesOptions) {
    const { files, clock, readMs } = options;
    this.#options = options;
    this.#files = new WatchedFiles({
      files: [files.cert, files.key, ...(files.ca === undefined ? [] : [files.ca])],
      take: ([cert = "", key = "", ca]) => this.#take(identityFrom(files, { cert, key, ca })),
      refused: (error) => this.#refused(error),
      clock,
      readMs,
    });
  }

  /** Reads them, which must work, and begins to look for changes. */
  start(): void {
    this.#files.start();
  }

  /** Looks no more; the identity stays. Twice is harmless. */
  async stop(): Promise<void> {
    await this.#files.stop();
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

  #take(identity: TlsIdentity): void {
    const { name, metrics, log } = this.#options;
    const isFirst = this.#identity === undefined;
    this.#identity = identity;
    metrics.tlsCertificateExpiry.set({ listener: name }, identity.expiresAt.getTime() / 1_000);
    if (isFirst) return;
    for (const listener of this.#listeners) listener(identity);
    log.info({ listener: name, expiresAt: identity.expiresAt }, "a new certificate is in effect");
  }

  #refused(error: unknown): void {
    const { name, metrics, log } = this.#options;
    metrics.tlsReloadFailures.inc({ listener: name });
    log.error({ err: error, listener: name }, "the new certificate is no good; the one before stays in effect");
  }
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
