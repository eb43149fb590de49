// SPDX-License-Identifier: Apache-2.0
// What lets hosts in, over a database: an authority of its own, the stores, and the use cases.
import { X509Certificate } from "node:crypto";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKey } from "../../agent/signing-request.js";
import type { NewKey } from "../../agent/signing-request.js";
import type { Refusal } from "../../src/audit/audit-log.js";
import type { IssuedCertificate } from "../../src/console/enroll-hosts.js";
import { EnrollHosts } from "../../src/console/enroll-hosts.js";
import type { Database } from "../../src/db/pool.js";
import { initAuthority } from "../../src/identity/authority-folder.js";
import { CertificateAuthority } from "../../src/identity/certificate-authority.js";
import { HostCertificateStore } from "../../src/identity/host-certificate-store.js";
import { JoinTokenStore } from "../../src/identity/join-token-store.js";
import type { AuthorityFileNames } from "../../src/lib/authority-files.js";
import { readAuthorityFiles } from "../../src/lib/authority-files.js";
import { createJoinToken } from "../../src/lib/join-token.js";
import { silentLog } from "../../src/lib/log.js";
import { NOBODY } from "../../src/rpc/caller.js";
import type { RequestContext } from "../../src/rpc/request-context.js";
import { ACTOR } from "./inventory.js";

/** The context of a host's request: nobody is known yet. */
export const STRANGER: RequestContext = {
  caller: NOBODY,
  requestId: "req-2",
  clientAddress: "192.0.2.9",
  signal: new AbortController().signal,
  remainingMs: () => Infinity,
};

/** A host's certificate, and the key that it is of. */
export interface HostCertificate extends IssuedCertificate {
  readonly key: NewKey["key"];
  readonly x509: X509Certificate;
}

/** The controllers' half of enrolment. */
export class EnrollmentStage {
  /** Holds the files of the authority, in a folder each. */
  readonly folder: string;
  readonly refusals: Refusal[] = [];
  readonly joinTokens: JoinTokenStore;
  readonly certificates: HostCertificateStore;
  readonly authority: CertificateAuthority;
  readonly enrolling: EnrollHosts;

  private constructor(database: Database, files: AuthorityFileNames, folder: string, days: number) {
    this.folder = folder;
    this.joinTokens = new JoinTokenStore(database);
    this.certificates = new HostCertificateStore(database);
    this.authority = new CertificateAuthority(readAuthorityFiles(files));
    this.enrolling = new EnrollHosts({
      authority: this.authority,
      joinTokens: this.joinTokens,
      certificates: this.certificates,
      days,
      refusals: { record: (refusal) => void this.refusals.push(refusal) },
      log: silentLog,
    });
  }

  static async create(database: Database, days = 7): Promise<EnrollmentStage> {
    const folder = mkdtempSync(join(tmpdir(), "test-enrollment-"));
    return new EnrollmentStage(database, await initAuthority(folder, "test", 10), folder, days);
  }

  /** The same, later: this authority signs, and the other one's certificates are believed too. */
  static async following(database: Database, before: EnrollmentStage): Promise<EnrollmentStage> {
    const folder = mkdtempSync(join(tmpdir(), "test-enrollment-"));
    const files = await initAuthority(folder, "next", 10);
    appendFileSync(files.cert, before.authority.authorities);
    return new EnrollmentStage(database, files, folder, 7);
  }

  /** A new token of a host. */
  async token(host: string, ttlSeconds = 3_600): Promise<string> {
    const { token } = createJoinToken(this.authority.certificate);
    await this.joinTokens.create({ token, host, ttlSeconds }, ACTOR);
    return token;
  }

  /** The certificate for a token. */
  async enroll(joinToken: string): Promise<HostCertificate> {
    const { key, signingRequest } = await createKey();
    const issued = await this.enrolling.enroll({ joinToken, signingRequest }, STRANGER);
    return { ...issued, key, x509: new X509Certificate(issued.certificate) };
  }

  /** A host's first certificate. */
  async admit(host: string): Promise<HostCertificate> {
    return this.enroll(await this.token(host));
  }

  get certificate(): X509Certificate {
    return new X509Certificate(readFileSync(join(this.folder, "ca.pem")));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
