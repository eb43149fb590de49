// SPDX-License-Identifier: Apache-2.0
// How hosts come to certificates. Whoever asks is known by what he brings, a join token or the certificate before, and
// what speaks against that is not said: all refusals look the same.
import type { KeyObject } from "node:crypto";
import { verify } from "node:crypto";
import { logAudit } from "../audit/audit-line.js";
import type { AuditAction } from "../audit/audit-log.js";
import type { RefusalRecorder } from "../audit/refusal-recorder.js";
import type { CertificateAuthority } from "../identity/certificate-authority.js";
import { requireAuthority } from "../identity/certificate-authority.js";
import { createSerial } from "../identity/certificates.js";
import type { HostCertificateStore, Issue } from "../identity/host-certificate-store.js";
import type { JoinTokenStore } from "../identity/join-token-store.js";
import { publicKeyFrom } from "../identity/signing-request.js";
import { serialOf } from "../lib/certificate-serial.js";
import { parseJoinToken } from "../lib/join-token.js";
import { MAX_SIGNING_REQUEST_BYTES } from "../lib/limits.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import type { RequestContext } from "../rpc/request-context.js";

/** What enrolment needs. */
export interface EnrollHostsOptions {
  /** Undefined where enrolment is off. */
  readonly authority: CertificateAuthority | undefined;
  readonly joinTokens: Pick<JoinTokenStore, "redeem">;
  readonly certificates: Pick<HostCertificateStore, "renew">;
  /** For how many days a certificate is good. */
  readonly days: number;
  readonly refusals: Pick<RefusalRecorder, "record">;
  readonly log: Log;
}

/** A join token, and a request (PKCS #10, DER) that holds the host's key. */
export interface Enrollment {
  readonly joinToken: string;
  readonly signingRequest: Uint8Array;
}

/** The certificate before (DER), the next key's request, and the signature over it by the key before. */
export interface RenewalRequest {
  readonly certificate: Uint8Array;
  readonly signingRequest: Uint8Array;
  readonly signature: Uint8Array;
}

/** What a host needs to connect. */
export interface IssuedCertificate {
  readonly host: string;
  /** PEM, as are the authorities. */
  readonly certificate: string;
  readonly authorities: string;
  readonly expiresAt: Date;
}

/** The use cases of EnrollmentService. Both throw ENROLLMENT_DISABLED without an authority. */
export class EnrollHosts {
  readonly #options: EnrollHostsOptions;

  constructor(options: EnrollHostsOptions) {
    this.#options = options;
  }

  /** Uses a join token up. UNAUTHENTICATED where it is none that can be used, INVALID_ARGUMENT for a bad request. */
  async enroll({ joinToken, signingRequest }: Enrollment, context: RequestContext): Promise<IssuedCertificate> {
    const authority = requireAuthority(this.#options.authority);
    const parsed = parseJoinToken(joinToken);
    if (!parsed) throw this.#refuse("the join token is not one", context);
    const publicKey = await publicKeyFrom(signingRequest);
    const serial = createSerial();
    const { joinTokens, days } = this.#options;
    const { requestId, clientAddress } = context;
    const issue = await joinTokens.redeem({ token: parsed.token, serial, days, requestId, clientAddress });
    if (!issue) throw this.#refuse("the join token is unknown, used, expired or of a revoked host", context);
    return this.#issue(authority, issue, { serial, publicKey, action: "host-enrolled" }, context);
  }

  /** Follows one certificate with the next. UNAUTHENTICATED where the one before does not count any more. */
  async renew(request: RenewalRequest, context: RequestContext): Promise<IssuedCertificate> {
    const authority = requireAuthority(this.#options.authority);
    const before = isOfSize(request.certificate) && authority.recognize(request.certificate);
    if (!before) throw this.#refuse("the certificate is not one of ours", context);
    const isProven = isOfSize(request.signingRequest) && isSignedBy(before.publicKey, request);
    if (!isProven) throw this.#refuse("the signature is not by the key of the certificate", context);
    const publicKey = await publicKeyFrom(request.signingRequest);
    const { certificates, days } = this.#options;
    const { requestId, clientAddress } = context;
    const [serial, nextSerial] = [serialOf(before), createSerial()];
    const issue = await certificates.renew({ serial, nextSerial, days, requestId, clientAddress });
    if (!issue) throw this.#refuse("the certificate is unknown, has expired or was revoked", context);
    return this.#issue(authority, issue, { serial: nextSerial, publicKey, action: "host-renewed" }, context);
  }

  async #issue(
    authority: CertificateAuthority,
    issue: Issue,
    { serial, publicKey, action }: { serial: string; publicKey: KeyObject; action: AuditAction },
    { requestId, clientAddress: client }: RequestContext,
  ): Promise<IssuedCertificate> {
    const { host, expiresAt } = issue;
    const certificate = await authority.issue(issue, serial, publicKey);
    logAudit(this.#options.log, action, { host, client, requestId });
    return { host, certificate, authorities: authority.authorities, expiresAt };
  }

  /** The error, which goes into the audit; what was wrong stays with the log. */
  #refuse(problem: string, { requestId, clientAddress }: RequestContext): ServiceError {
    const actor = { subject: "", projectId: "", requestId, clientAddress };
    this.#options.refusals.record({ actor, reason: "UNAUTHENTICATED" });
    const message = "what was shown entitles to no certificate: make a join token with `spicegate host token`";
    return new ServiceError("UNAUTHENTICATED", message, { cause: new Error(problem) });
  }
}

function isOfSize(bytes: Uint8Array): boolean {
  return bytes.length <= MAX_SIGNING_REQUEST_BYTES;
}

function isSignedBy(key: KeyObject, { signingRequest, signature }: RenewalRequest): boolean {
  try {
    return verify("sha256", signingRequest, key, signature);
  } catch {
    return false;
  }
}
