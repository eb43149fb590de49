// SPDX-License-Identifier: Apache-2.0

// The certificates that hosts have been given, and the hosts that were revoked. A certificate counts as long as it goes
// back to a join token that was made after its host was revoked (migrations/0005_identity.ts).

import { actorParameters, actorValues, insertAudit } from "../audit/audit-log.js";
import type { AuditActor } from "../audit/audit-log.js";
import type { Querier } from "../db/connection.js";
import type { Page, PageRequest } from "../db/page-token.js";
import { NAME_KEYS, pageOf, pageSize, pageStart } from "../db/page-token.js";
import { MAX_CERTIFICATE_DAYS, PURGE_BATCH } from "../lib/limits.js";

/** Says the name of a host that was revoked. */
export const REVOCATIONS_CHANNEL = "spicegate_host_revocations";

/** A certificate that is to be made; the times are Postgres'. */
export interface Issue {
  readonly host: string;
  readonly issuedAt: Date;
  /** Whole seconds. */
  readonly expiresAt: Date;
}

/** The certificate that a host has, and the one that it is to get. */
export interface Renewal {
  /** Serial numbers in hexadecimal digits. */
  readonly serial: string;
  readonly nextSerial: string;
  /** For how many days the next one is good. */
  readonly days: number;
  readonly requestId: string;
  readonly clientAddress: string;
}

/** What is known of a host. */
export interface HostIdentity {
  readonly host: string;
  /** Of the newest certificate; undefined where there is none. */
  readonly issuedAt: Date | undefined;
  readonly expiresAt: Date | undefined;
  /** Since when it is revoked; undefined where it is not, or joined again. */
  readonly revokedAt: Date | undefined;
  /** Empty where it is not. */
  readonly revokedBy: string;
}

/** A host that was revoked, as far as deciding needs it. */
export interface Revocation {
  readonly host: string;
  /** Tells one revocation of a host from a later one. */
  readonly mark: string;
  /** Whether it joined again afterwards. */
  readonly readmitted: boolean;
  /** The serial numbers of its certificates that count all the same. */
  readonly serials: readonly string[];
}

/** When a certificate expires that is issued now and is good for the days of a parameter. */
export const EXPIRES_AT = (days: string): string => `date_trunc('second', now()) + ${days}::integer * interval '1 day'`;

const RENEW = `
  with issued as (
    insert into host_certificates (serial, host, admitted_at, expires_at)
    select $2::text, c.host, c.admitted_at, ${EXPIRES_AT("$3")} from host_certificates c
    where c.serial = $1::text and c.expires_at > now()
      and not exists (select from host_revocations r where r.host = c.host and r.revoked_at >= c.admitted_at)
    returning host, issued_at, expires_at
  ), noted as (
    ${insertAudit({ action: "host-renewed", actor: ["host", "''", "$4::text", "$5::text"], host: "host" }, "from issued")}
  )
  select host, issued_at as "issuedAt", expires_at as "expiresAt" from issued`;

// A host that nobody has heard of is a slip of the pen, which must not look like a success. Revoking anew counts where
// the host may have got in since.
const REVOKE = `
  with revoked as (
    insert into host_revocations as r (host, revoked_by)
    select $1::text, $2::text
    where exists (select from hosts where host = $1::text) or exists (select from join_tokens where host = $1::text)
      or exists (select from host_certificates where host = $1::text)
    on conflict on constraint host_revocations_pkey do update
      set revoked_at = clock_timestamp(), revoked_by = excluded.revoked_by, readmitted_at = null
      where r.readmitted_at is not null
        or exists (select from join_tokens t where t.host = r.host and t.created_at > r.revoked_at)
    returning host
  ), noted as (
    ${insertAudit({ action: "host-revoked", actor: actorParameters(2), host: "host" }, "from revoked")}
  )
  select pg_notify('${REVOCATIONS_CHANNEL}', host) from revoked`;

const LIST = `
  select h.host, c.issued_at as "issuedAt", c.expires_at as "expiresAt", r.revoked_at as "revokedAt",
    coalesce(r.revoked_by, '') as "revokedBy"
  from (
    select host from host_certificates union select host from host_revocations where readmitted_at is null
  ) h
    left join lateral (
      select issued_at, expires_at from host_certificates c where c.host = h.host order by issued_at desc limit 1
    ) c on true
    left join host_revocations r on r.host = h.host and r.readmitted_at is null
  where ($2::text is null or h.host > $2::text) and ($3::text is null or h.host = $3::text)
  order by h.host limit $1::integer`;

const REVOCATIONS = `
  select r.host, r.revoked_at::text as mark, r.readmitted_at is not null as readmitted,
    array(select serial from host_certificates c where c.host = r.host and c.admitted_at > r.revoked_at) as serials
  from host_revocations r where $1::text is null or r.host = $1::text`;

const PURGE_CERTIFICATES = `
  with purged as (
    delete from host_certificates where serial in
      (select serial from host_certificates where expires_at <= now() limit $1 for update skip locked)
    returning host
  )
  select count(*)::integer as count from purged`;

// By then whatever the host had before has expired.
const PURGE_REVOCATIONS = `
  with purged as (
    delete from host_revocations where host in
      (select host from host_revocations where readmitted_at < now() - $2::integer * interval '1 day' limit $1
       for update skip locked)
    returning host
  )
  select count(*)::integer as count from purged`;

type IdentityRow = { readonly [Key in keyof HostIdentity]: Exclude<HostIdentity[Key], undefined> | null };

/** What hosts have been given, and what was taken from them. */
export class HostCertificateStore {
  readonly #database: Querier;

  constructor(database: Querier) {
    this.#database = database;
  }

  /** Stores the next certificate's row; undefined where the one before is unknown, has expired or was revoked. */
  async renew({ serial, nextSerial, days, requestId, clientAddress }: Renewal): Promise<Issue | undefined> {
    const values = [serial, nextSerial, days, requestId, clientAddress];
    const [row] = await this.#database.query<Issue>({ name: "host-certificates-renew", text: RENEW, values });
    return row;
  }

  /** Revokes what the host has until now, and tells every controller. A second call changes nothing. */
  async revoke(host: string, actor: AuditActor): Promise<HostIdentity | undefined> {
    await this.#database.query({ text: REVOKE, values: [host, ...actorValues(actor)] });
    const rows = await this.#database.query<IdentityRow>({ text: LIST, values: [1, null, host] });
    return rows.map(identityFromRow)[0];
  }

  /** A page of the hosts that have a certificate or are revoked, by name. INVALID_ARGUMENT for another list's token. */
  async list(page: PageRequest): Promise<Page<HostIdentity>> {
    const values = [pageSize(page) + 1, pageStart(page, {}, NAME_KEYS) ?? null, null];
    const rows = await this.#database.query<IdentityRow>({ text: LIST, values });
    return pageOf(rows.map(identityFromRow), page, {}, ({ host }) => host);
  }

  /** Every host that was revoked, or this one where it was. */
  revocations(host?: string): Promise<readonly Revocation[]> {
    return this.#database.query<Revocation>({ name: "host-revocations", text: REVOCATIONS, values: [host ?? null] });
  }
}

/** Deletes a batch of certificates that have expired; says how many. */
export async function purgeExpiredCertificates(querier: Querier): Promise<number> {
  const [row] = await querier.query<{ count: number }>({ text: PURGE_CERTIFICATES, values: [PURGE_BATCH] });
  return row?.count ?? 0;
}

/** Deletes a batch of revocations that concern nothing any more; says how many. */
export async function purgeSettledRevocations(querier: Querier): Promise<number> {
  const values = [PURGE_BATCH, MAX_CERTIFICATE_DAYS];
  const [row] = await querier.query<{ count: number }>({ text: PURGE_REVOCATIONS, values });
  return row?.count ?? 0;
}

function identityFromRow({ host, issuedAt, expiresAt, revokedAt, revokedBy }: IdentityRow): HostIdentity {
  return {
    host: host ?? "",
    issuedAt: issuedAt ?? undefined,
    expiresAt: expiresAt ?? undefined,
    revokedAt: revokedAt ?? undefined,
    revokedBy: revokedBy ?? "",
  };
}
