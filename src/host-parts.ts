// SPDX-License-Identifier: Apache-2.0
// By what hosts are known: the authority that signs their certificates, and what is stored of them.
import { AuditLog } from "./audit/audit-log.js";
import { RefusalRecorder } from "./audit/refusal-recorder.js";
import type { ControllerConfig } from "./config/controller-config.js";
import { authorityFiles } from "./config/enrollment-settings.js";
import { EnrollHosts } from "./console/enroll-hosts.js";
import type { Notifications } from "./db/notifications.js";
import type { Database } from "./db/pool.js";
import type { SweepTask } from "./db/sweep.js";
import { CertificateAuthority } from "./identity/certificate-authority.js";
import {
  HostCertificateStore,
  purgeExpiredCertificates,
  purgeSettledRevocations,
} from "./identity/host-certificate-store.js";
import { HostRevocations } from "./identity/host-revocations.js";
import { JoinTokenStore, purgeExpiredJoinTokens } from "./identity/join-token-store.js";
import { readAuthorityFiles } from "./lib/authority-files.js";
import { systemClock } from "./lib/clock.js";
import type { NamedPart } from "./lib/lifecycle.js";
import type { Log } from "./lib/log.js";

/** What they share with the rest of the controller. */
export interface HostPartsOptions {
  readonly config: Pick<ControllerConfig, "enrollment">;
  readonly database: Database;
  /** Hears REVOCATIONS_CHANNEL. */
  readonly notifications: Notifications;
  readonly log: Log;
}

/** The parts, and what the use cases take of them. */
export interface HostParts {
  /** Undefined where hosts cannot enrol. */
  readonly authority: CertificateAuthority | undefined;
  readonly joinTokens: JoinTokenStore;
  readonly certificates: HostCertificateStore;
  readonly enrolling: EnrollHosts;
  readonly revocations: HostRevocations;
  /** In the order of start. */
  readonly parts: readonly NamedPart[];
  readonly sweepTasks: readonly SweepTask[];
}

/** Constructs them; nothing runs before the lifecycle starts them. Throws for authority files that are no good. */
export function createHostParts({ config, database, notifications, log }: HostPartsOptions): HostParts {
  const { certificate_days: days } = config.enrollment;
  const files = authorityFiles(config.enrollment);
  const authority = files && new CertificateAuthority(readAuthorityFiles(files));
  const clock = systemClock;
  const refusals = new RefusalRecorder({ audit: new AuditLog(database), database, log, clock });
  const joinTokens = new JoinTokenStore(database);
  const certificates = new HostCertificateStore(database);
  const revocations = new HostRevocations({ store: certificates, notifications, log, clock });
  return {
    authority,
    joinTokens,
    certificates,
    enrolling: new EnrollHosts({ authority, joinTokens, certificates, days, refusals, log }),
    revocations,
    parts: [
      { name: "refusals of hosts", part: refusals },
      { name: "revoked hosts", part: revocations },
    ],
    sweepTasks: [
      { name: "expired join tokens", run: purgeExpiredJoinTokens },
      { name: "expired certificates", run: purgeExpiredCertificates },
      { name: "settled revocations", run: purgeSettledRevocations },
    ],
  };
}
