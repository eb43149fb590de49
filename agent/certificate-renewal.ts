// SPDX-License-Identifier: Apache-2.0
import { sign } from "node:crypto";
import { Backoff } from "../src/lib/backoff.js";
import type { Clock } from "../src/lib/clock.js";
import { pause } from "../src/lib/deadline.js";
import type { Part } from "../src/lib/lifecycle.js";
import { RENEWAL_BACKOFF, RENEWAL_INTERVAL_MS } from "../src/lib/limits.js";
import { requireAddress } from "../src/lib/listen-address.js";
import type { Log } from "../src/lib/log.js";
import { messageOf } from "../src/lib/message-of.js";
import { EnrollmentClient } from "./enrollment-client.js";
import type { HostIdentity, IdentityFolder } from "./identity-folder.js";
import { createKey } from "./signing-request.js";

/** What renewing needs. */
export interface CertificateRenewalOptions {
  readonly folder: IdentityFolder;
  /** host:port of the API of each controller that may be asked. */
  readonly addresses: readonly string[];
  readonly log: Log;
  readonly clock: Clock;
  /** Milliseconds since 1970: what a certificate's own times are compared with. */
  readonly wallClock?: () => number;
  /** Between 0 and 1; picks the moment, so that hosts that joined together do not renew together. */
  readonly random?: () => number;
}

/** The share of a certificate's life that is over when it is renewed, at the earliest and at the latest. */
const EARLIEST = 0.62;
const LATEST = 2 / 3;

/**
 * Renews the host's certificate in time, with a new key. Until that works it goes on trying, at the next controller each
 * time; what the folder holds stays as it is.
 */
export class CertificateRenewal implements Part {
  readonly #options: CertificateRenewalOptions;
  readonly #stopping = new AbortController();
  readonly #backoff = new Backoff(RENEWAL_BACKOFF);
  readonly #share: number;
  #attempts = 0;
  #problem = "";
  #loop: Promise<void> | undefined;

  constructor(options: CertificateRenewalOptions) {
    this.#options = options;
    this.#share = EARLIEST + (options.random ?? Math.random)() * (LATEST - EARLIEST);
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Waits for a call under way. Twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    let waitMs = 0;
    while (await pause(waitMs, this.#stopping.signal, this.#options.clock)) waitMs = await this.#look();
  }

  /** Renews where it is time to; says how long to wait until the next look. */
  async #look(): Promise<number> {
    const { folder, log, wallClock = Date.now } = this.#options;
    try {
      const identity = folder.read(wallClock());
      if (wallClock() < this.#dueAt(identity)) return RENEWAL_INTERVAL_MS;
      await this.#renew(identity);
      log.info({ file: folder.certFile }, "the host's certificate was renewed");
      this.#backoff.reset();
      this.#problem = "";
      return RENEWAL_INTERVAL_MS;
    } catch (error) {
      this.#report(messageOf(error));
      return this.#backoff.next();
    }
  }

  #dueAt({ certificate }: HostIdentity): number {
    const [from, until] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
    return from + (until - from) * this.#share;
  }

  async #renew({ certificate, key, authorities }: HostIdentity): Promise<void> {
    const { addresses, folder } = this.#options;
    const address = requireAddress(addresses[this.#attempts++ % addresses.length] ?? "");
    const next = await createKey();
    const { signingRequest } = next;
    const client = new EnrollmentClient(address, authorities);
    try {
      const signature = sign("sha256", signingRequest, key);
      const { certificate: issued } = await client.renew({ certificate: certificate.raw, signingRequest, signature });
      const { certificateChain = "", authorities: believed = "" } = issued ?? {};
      folder.save({ certificateChain, authorities: believed, key: next.key });
    } finally {
      client.close();
    }
  }

  /** The same trouble again and again is said once. */
  #report(problem: string): void {
    const level = problem === this.#problem ? "debug" : "error";
    this.#problem = problem;
    const message = "the host's certificate could not be renewed: a new join token helps where this does not end";
    this.#options.log[level]({ detail: problem }, message);
  }
}
