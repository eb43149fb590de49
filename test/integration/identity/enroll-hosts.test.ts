// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createKey } from "../../../agent/signing-request.js";
import type { IssuedCertificate } from "../../../src/console/enroll-hosts.js";
import { EnrollHosts } from "../../../src/console/enroll-hosts.js";
import { issueForController } from "../../../src/identity/authority-folder.js";
import { serialOf } from "../../../src/lib/certificate-serial.js";
import { purgeExpiredCertificates, purgeSettledRevocations } from "../../../src/identity/host-certificate-store.js";
import { purgeExpiredJoinTokens } from "../../../src/identity/join-token-store.js";
import { createJoinToken, parseJoinToken } from "../../../src/lib/join-token.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import type { HostCertificate } from "../../harness/enrollment.js";
import { EnrollmentStage, STRANGER } from "../../harness/enrollment.js";
import { ACTOR, helloOf, registryOn } from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import { TestDatabase } from "../../harness/test-database.js";

const DAY_MS = 86_400_000;

describe("EnrollHosts", () => {
  let db: TestDatabase;
  let stage: EnrollmentStage;

  before(async () => {
    db = await TestDatabase.create();
  });
  after(() => db.stop());
  beforeEach(async () => {
    await db.clear();
    stage = await EnrollmentStage.create(db.database);
  });
  afterEach(() => stage.remove());

  async function renew(before: HostCertificate, key = before.key, at = stage): Promise<IssuedCertificate> {
    const { signingRequest } = await createKey();
    const signature = sign("sha256", signingRequest, key);
    return at.enrolling.renew({ certificate: before.x509.raw, signingRequest, signature }, STRANGER);
  }

  async function refusalOf(promise: Promise<unknown>): Promise<string> {
    return reasonOf(await rejectionOf(promise));
  }

  /** Certificates that count, of all that the host has been given. */
  async function counting(host: string): Promise<readonly string[]> {
    const [revocation] = await stage.certificates.revocations(host);
    return revocation?.serials ?? [];
  }

  async function actions(): Promise<readonly unknown[]> {
    return db.sql("select action, subject, host from audit_events order by event_id");
  }

  it("turns a token into a certificate of the token's host", async () => {
    const { host, x509, certificate, authorities, expiresAt, key } = await stage.admit("host-1");
    expect(host).to.equal("host-1");
    expect(x509.subjectAltName).to.equal("DNS:host-1");
    expect(x509.checkPrivateKey(key)).to.equal(true);
    expect(x509.verify(stage.certificate.publicKey)).to.equal(true);
    expect(new Date(x509.validTo)).to.deep.equal(expiresAt);
    expect(expiresAt.getTime() - Date.now()).to.be.within(7 * DAY_MS - 60_000, 7 * DAY_MS + 1_000);
    expect(Date.now() - Date.parse(x509.validFrom)).to.be.within(300_000, 360_000);
    expect(authorities).to.equal(readFileSync(join(stage.folder, "ca.pem"), "utf8"));
    expect(certificate).to.match(/^-----BEGIN CERTIFICATE-----/);
    expect(await actions()).to.deep.equal([
      { action: "join-token-created", subject: "alice", host: "host-1" },
      { action: "host-enrolled", subject: "host-1", host: "host-1" },
    ]);
  });

  it("lets one of 32 that show the same token at the same time have a certificate", async () => {
    const token = await stage.token("host-1");
    const outcomes = await Promise.allSettled(Array.from({ length: 32 }, () => stage.enroll(token)));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).to.have.length(1);
    expect(await db.sql("select count(*)::integer as count from host_certificates")).to.deep.equal([{ count: 1 }]);
    expect(stage.refusals).to.have.length(31);
  });

  it("refuses a token that is unknown, expired, or no token, all in the same words", async () => {
    const expired = await stage.token("host-1");
    await db.sql("update join_tokens set expires_at = now()");
    const unknown = createJoinToken(stage.authority.certificate).token;
    const used = await stage.token("host-1");
    await stage.enroll(used);
    const tokens = [expired, unknown, used, "sgj_x", ""];
    const errors = await Promise.all(tokens.map((token) => rejectionOf(stage.enroll(token))));
    expect(errors.map(reasonOf)).to.deep.equal(tokens.map(() => "UNAUTHENTICATED"));
    expect(new Set(errors.map(({ message }) => message))).to.have.length(1);
    expect(stage.refusals.map(({ reason, actor }) => [reason, actor.clientAddress])).to.deep.equal(
      tokens.map(() => ["UNAUTHENTICATED", "192.0.2.9"]),
    );
  });

  it("keeps the token where the request is no good", async () => {
    const joinToken = await stage.token("host-1");
    const bad = stage.enrolling.enroll({ joinToken, signingRequest: Buffer.from("x") }, STRANGER);
    expect(await refusalOf(bad)).to.equal("INVALID_ARGUMENT");
    expect((await stage.enroll(joinToken)).host).to.equal("host-1");
  });

  it("keeps nothing of a token but its hash", async () => {
    const token = await stage.token("host-1");
    const secret = token.slice("sgj_".length, token.indexOf("."));
    const rows = await db.sql("select t::text from join_tokens t");
    expect(JSON.stringify(rows)).to.not.contain(secret);
    expect(JSON.stringify(rows)).to.not.contain(Buffer.from(secret, "base64url").toString("hex"));
    expect(parseJoinToken(token)?.fingerprint).to.equal(
      Buffer.from(stage.certificate.fingerprint256.replaceAll(":", ""), "hex").toString("base64url"),
    );
  });

  it("says that it is off without an authority", async () => {
    const off = new EnrollHosts({
      authority: undefined,
      joinTokens: stage.joinTokens,
      certificates: stage.certificates,
      days: 7,
      refusals: { record: () => undefined },
      log: silentLog,
    });
    const empty = Buffer.alloc(0);
    const request = { joinToken: "", certificate: empty, signingRequest: empty, signature: empty };
    expect(await refusalOf(off.enroll(request, STRANGER))).to.equal("ENROLLMENT_DISABLED");
    expect(await refusalOf(off.renew(request, STRANGER))).to.equal("ENROLLMENT_DISABLED");
  });

  describe("renew", () => {
    it("follows a certificate with another one of the same host and a new key", async () => {
      const first = await stage.admit("host-1");
      const { certificate, host, expiresAt } = await renew(first);
      const second = new X509Certificate(certificate);
      expect(host).to.equal("host-1");
      expect(second.subjectAltName).to.equal("DNS:host-1");
      expect(second.publicKey.equals(first.x509.publicKey)).to.equal(false);
      expect(serialOf(second)).to.not.equal(serialOf(first.x509));
      expect(new Date(second.validTo)).to.deep.equal(expiresAt);
      expect((await actions()).at(-1)).to.deep.equal({ action: "host-renewed", subject: "host-1", host: "host-1" });
    });

    it("lets one authority take the place of another", async () => {
      const first = await stage.admit("host-1");
      const next = await EnrollmentStage.following(db.database, stage);
      try {
        const renewed = await renew(first, first.key, next);
        expect(new X509Certificate(renewed.certificate).verify(next.certificate.publicKey)).to.equal(true);
        expect(renewed.authorities).to.equal(next.certificate.toString() + stage.certificate.toString());
      } finally {
        next.remove();
      }
    });

    it("refuses who has not the key of the certificate", async () => {
      const first = await stage.admit("host-1");
      expect(await refusalOf(renew(first, (await createKey()).key))).to.equal("UNAUTHENTICATED");
    });

    it("refuses a certificate that has expired", async () => {
      const first = await stage.admit("host-1");
      await db.sql("update host_certificates set expires_at = now()");
      expect(await refusalOf(renew(first))).to.equal("UNAUTHENTICATED");
    });

    it("refuses a certificate of another authority, and one of the authority that is no host's", async () => {
      const other = await EnrollmentStage.create(db.database);
      try {
        expect(await refusalOf(renew(await other.admit("host-1")))).to.equal("UNAUTHENTICATED");
      } finally {
        other.remove();
      }
      const out = join(stage.folder, "controller");
      const files = await issueForController({ authority: stage.folder, out, names: ["host-1"], days: 1 });
      const x509 = new X509Certificate(readFileSync(files.cert));
      const key = createPrivateKey(readFileSync(files.key));
      const foreign = { ...(await stage.admit("host-1")), x509, key };
      expect(await refusalOf(renew(foreign))).to.equal("UNAUTHENTICATED");
    });
  });

  describe("revocation", () => {
    it("makes what the host was given worthless: certificate and tokens", async () => {
      const first = await stage.admit("host-1");
      const token = await stage.token("host-1");
      const revoked = await stage.certificates.revoke("host-1", ACTOR);
      expect(revoked).to.include({ host: "host-1", revokedBy: "alice" });
      expect(revoked?.revokedAt).to.be.instanceOf(Date);
      expect(await refusalOf(renew(first))).to.equal("UNAUTHENTICATED");
      expect(await refusalOf(stage.enroll(token))).to.equal("UNAUTHENTICATED");
      expect(await counting("host-1")).to.deep.equal([]);
    });

    it("lets the host in again with a later token, and its old certificate never", async () => {
      const first = await stage.admit("host-1");
      await stage.certificates.revoke("host-1", ACTOR);
      const second = await stage.admit("host-1");
      expect(await counting("host-1")).to.deep.equal([serialOf(second.x509)]);
      expect(await refusalOf(renew(first))).to.equal("UNAUTHENTICATED");
      const third = await renew(second);
      expect(await counting("host-1")).to.have.members([
        serialOf(second.x509),
        serialOf(new X509Certificate(third.certificate)),
      ]);
      const { items } = await stage.certificates.list({ size: 0, token: "" });
      expect(items).to.deep.equal([{ ...items[0], revokedAt: undefined, revokedBy: "" }]);
    });

    it("changes nothing the second time, and counts again once the host is back", async () => {
      await stage.admit("host-1");
      const first = await stage.certificates.revoke("host-1", ACTOR);
      const again = await stage.certificates.revoke("host-1", { ...ACTOR, subject: "bob" });
      expect(again).to.deep.equal(first);
      await stage.admit("host-1");
      const anew = await stage.certificates.revoke("host-1", { ...ACTOR, subject: "bob" });
      expect(anew?.revokedBy).to.equal("bob");
      expect(await counting("host-1")).to.deep.equal([]);
      expect((await actions()).filter((row) => JSON.stringify(row).includes("host-revoked"))).to.have.length(2);
    });

    it("reaches whatever is renewed or redeemed in the same instant", async () => {
      for (let round = 0; round < 10; round += 1) {
        const host = `host-${round}`;
        const first = await stage.admit(host);
        const token = await stage.token(host);
        await Promise.allSettled([renew(first), stage.certificates.revoke(host, ACTOR), stage.enroll(token)]);
        expect(await counting(host)).to.deep.equal([]);
      }
    });

    it("knows a host that only ever connected, and not one that nobody has heard of", async () => {
      await registryOn(db.database).welcomeHost(helloOf("host-2"));
      expect((await stage.certificates.revoke("host-2", ACTOR))?.revokedAt).to.be.instanceOf(Date);
      expect(await stage.certificates.revoke("host-3", ACTOR)).to.equal(undefined);
      expect(await stage.certificates.revocations("host-3")).to.deep.equal([]);
    });
  });

  it("lists hosts by name, a page at a time", async () => {
    for (const host of ["host-2", "host-1", "host-3"]) await stage.admit(host);
    await stage.certificates.revoke("host-3", ACTOR);
    const first = await stage.certificates.list({ size: 2, token: "" });
    const second = await stage.certificates.list({ size: 2, token: first.nextPageToken });
    expect([...first.items, ...second.items].map(({ host }) => host)).to.deep.equal(["host-1", "host-2", "host-3"]);
    expect(second.items[0]?.revokedBy).to.equal("alice");
    expect(second.nextPageToken).to.equal("");
  });

  it("sweeps up what has expired", async () => {
    await stage.admit("host-1");
    await stage.certificates.revoke("host-1", ACTOR);
    await stage.admit("host-1");
    const sweeps = [purgeExpiredJoinTokens, purgeExpiredCertificates, purgeSettledRevocations];
    for (const sweep of sweeps) expect(await sweep(db.database)).to.equal(0);
    await db.sql("update join_tokens set expires_at = now()");
    await db.sql("update host_certificates set expires_at = now()");
    await db.sql("update host_revocations set readmitted_at = now() - interval '91 days'");
    expect(await purgeExpiredJoinTokens(db.database)).to.equal(2);
    expect(await purgeExpiredCertificates(db.database)).to.equal(2);
    expect(await purgeSettledRevocations(db.database)).to.equal(1);
  });
});
