// SPDX-License-Identifier: Apache-2.0
import { logAudit } from "../audit/audit-line.js";
import type { Page, PageRequest } from "../db/page-token.js";
import type { CertificateAuthority } from "../identity/certificate-authority.js";
import { requireAuthority } from "../identity/certificate-authority.js";
import type { HostCertificateStore, HostIdentity } from "../identity/host-certificate-store.js";
import type { JoinTokenStore } from "../identity/join-token-store.js";
import { createJoinToken } from "../lib/join-token.js";
import {
  DEFAULT_JOIN_TOKEN_TTL_S,
  MAX_HOST_LENGTH,
  MAX_JOIN_TOKEN_TTL_S,
  MIN_JOIN_TOKEN_TTL_S,
} from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import { invalid, parseText } from "../lib/validate.js";
import type { RequestContext } from "../rpc/request-context.js";
import { actorFrom, auditLineFrom } from "./audit-actor.js";

/** What the use cases need. */
export interface ManageHostsOptions {
  readonly joinTokens: Pick<JoinTokenStore, "create">;
  readonly certificates: Pick<HostCertificateStore, "list" | "revoke">;
  /** Undefined where enrolment is off. */
  readonly authority: Pick<CertificateAuthority, "certificate"> | undefined;
  readonly log: Log;
}

/** A host that is to join. */
export interface JoinTokenWish {
  readonly host: string;
  /** 0: an hour. */
  readonly ttlSeconds: number;
}

/** A token, the only time that it is seen in plain. */
export interface IssuedJoinToken {
  readonly joinToken: string;
  readonly expiresAt: Date;
}

// What a certificate can name, so that nothing that it names can be taken for something else.
const HOST = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/;

/** The use cases of IdentityService that are about hosts. */
export class ManageHosts {
  readonly #options: ManageHostsOptions;

  constructor(options: ManageHostsOptions) {
    this.#options = options;
  }

  /** Makes a token with which the host's agent gets a certificate, once. ENROLLMENT_DISABLED without an authority. */
  async createJoinToken(wish: JoinTokenWish, context: RequestContext): Promise<IssuedJoinToken> {
    const { joinTokens, log } = this.#options;
    const authority = requireAuthority(this.#options.authority);
    const host = parseHost(wish.host);
    const ttlSeconds = parseTtl(wish.ttlSeconds);
    const { token } = createJoinToken(authority.certificate);
    const expiresAt = await joinTokens.create({ token, host, ttlSeconds }, actorFrom(context));
    logAudit(log, "join-token-created", { ...auditLineFrom(context), host });
    return { joinToken: token, expiresAt };
  }

  /** A page of the hosts that have a certificate or are revoked, by name. */
  async listHostIdentities(page: PageRequest): Promise<Page<HostIdentity>> {
    const { certificates } = this.#options;
    return certificates.list(page);
  }

  /**
   * Takes from the host everything that it was given until now, on every controller. Revoking again changes nothing.
   * HOST_NOT_FOUND for one that never connected nor got a token.
   */
  async revokeHost({ host }: Pick<JoinTokenWish, "host">, context: RequestContext): Promise<HostIdentity> {
    const { certificates, log } = this.#options;
    const name = parseText(host, { field: "host", most: MAX_HOST_LENGTH, required: true });
    const identity = await certificates.revoke(name, actorFrom(context));
    if (!identity) throw new ServiceError("HOST_NOT_FOUND", `no host ${name} has ever connected or been given a token`);
    logAudit(log, "host-revoked", { ...auditLineFrom(context), host: name });
    return identity;
  }
}

function parseHost(text: string): string {
  const host = parseText(text, { field: "host", most: MAX_HOST_LENGTH, required: true });
  if (HOST.test(host)) return host;
  throw invalid("host", "must have letters, digits, dots, hyphens and underscores only");
}

function parseTtl(seconds: number): number {
  if (seconds === 0) return DEFAULT_JOIN_TOKEN_TTL_S;
  if (seconds >= MIN_JOIN_TOKEN_TTL_S && seconds <= MAX_JOIN_TOKEN_TTL_S) return seconds;
  throw invalid("ttl_seconds", `must be ${MIN_JOIN_TOKEN_TTL_S} to ${MAX_JOIN_TOKEN_TTL_S}, or 0 for an hour`);
}
