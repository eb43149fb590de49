// SPDX-License-Identifier: Apache-2.0
// The agent's half of enrolment, against the API's half over TLS.
import { expect } from "chai";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CertificateRenewal } from "../../../agent/certificate-renewal.js";
import type { EnrollmentOptions } from "../../../agent/enrollment.js";
import { EnrollmentError, ensureEnrolled } from "../../../agent/enrollment.js";
import { IdentityFolder } from "../../../agent/identity-folder.js";
import { freePort } from "../../../demo/ports.js";
import { issueForController } from "../../../src/identity/authority-folder.js";
import { Backoff } from "../../../src/lib/backoff.js";
import { RENEWAL_BACKOFF, RENEWAL_INTERVAL_MS } from "../../../src/lib/limits.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { EnrollmentDoor } from "../../harness/enrollment-door.js";
import { EnrollmentStage } from "../../harness/enrollment.js";
import { ACTOR } from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import { TestDatabase } from "../../harness/test-database.js";
import { until, within } from "../../harness/within.js";

const DAY_MS = 86_400_000;
const HOST = "host-1";

describe("an agent that enrols", () => {
  let db: TestDatabase;
  let stage: EnrollmentStage;
  let door: EnrollmentDoor;
  let folderName: string;
  let folder: IdentityFolder;
  let tokenFile: string;
  let log: FakeLog;
  let doors: EnrollmentDoor[];
  let abort: AbortController;

  before(async () => {
    db = await TestDatabase.create();
  });
  after(() => db.stop());

  beforeEach(async () => {
    await db.clear();
    stage = await EnrollmentStage.create(db.database);
    doors = [];
    door = await opened(await EnrollmentDoor.of(stage));
    folderName = mkdtempSync(join(tmpdir(), "test-identity-"));
    folder = new IdentityFolder(join(folderName, "identity"), HOST);
    tokenFile = join(folderName, "join-token");
    log = new FakeLog();
    abort = new AbortController();
  });

  afterEach(async () => {
    abort.abort();
    for (const each of doors) await each.stop();
    rmSync(folderName, { recursive: true, force: true });
    stage.remove();
  });

  async function opened(made: EnrollmentDoor): Promise<EnrollmentDoor> {
    doors.push(made);
    await made.start();
    return made;
  }

  async function putToken(host = HOST): Promise<string> {
    const token = await stage.token(host);
    writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
    return token;
  }

  function enrolled(more: Partial<EnrollmentOptions> = {}): Promise<void> {
    const addresses = [`127.0.0.1:${door.port}`];
    const backoff = new Backoff({ firstMs: 1, mostMs: 10 });
    const options = { host: HOST, addresses, folder, tokenFile, log: log.log, signal: abort.signal, backoff };
    return within("the enrolment", ensureEnrolled({ ...options, ...more }));
  }

  const warnings = (): string => JSON.stringify(log.at("warn"));

  it("has its certificate and key in a file that only it can read, and no token any more", async () => {
    await putToken();
    await enrolled();
    const { certificate, key, authorities } = folder.read();
    expect(certificate.subjectAltName).to.equal("DNS:host-1");
    expect(certificate.checkPrivateKey(key)).to.equal(true);
    expect(authorities).to.equal(stage.authority.authorities);
    expect(statSync(folder.certFile).mode & 0o777).to.equal(0o600);
    expect(existsSync(tokenFile)).to.equal(false);
  });

  it("knows the controller by its name as well as by its address", async () => {
    await putToken();
    await enrolled({ addresses: [`localhost:${door.port}`] });
    expect(door.calls).to.equal(1);
  });

  it("asks nobody while it has a certificate and no token", async () => {
    await putToken();
    await enrolled();
    await enrolled({ addresses: [] });
    expect(door.calls).to.equal(1);
  });

  it("goes on asking, one controller after the other, until one answers", async () => {
    await putToken();
    const port = await freePort();
    const enrolling = enrolled({ addresses: [`127.0.0.1:${await freePort()}`, `127.0.0.1:${port}`] });
    await until("an attempt at each", () => log.at("warn").length >= 2);
    await opened(await EnrollmentDoor.of(stage, ["127.0.0.1"], port));
    await enrolling;
    expect(folder.read().certificate.subjectAltName).to.equal("DNS:host-1");
  });

  describe("says nothing secret to a controller", () => {
    let other: EnrollmentStage;
    beforeEach(async () => {
      other = await EnrollmentStage.create(db.database);
    });
    afterEach(() => other.remove());

    async function getsNothing(stranger: EnrollmentDoor, why: RegExp): Promise<void> {
      const token = await putToken();
      const enrolling = rejectionOf(enrolled({ addresses: [`127.0.0.1:${stranger.port}`] }));
      await until("two attempts", () => log.at("warn").length >= 2);
      abort.abort();
      await enrolling;
      expect(stranger.calls).to.equal(0);
      expect(warnings()).to.match(why).and.not.include(token);
      expect(existsSync(tokenFile)).to.equal(true);
    }

    it("of another authority", async () => {
      await getsNothing(await opened(await EnrollmentDoor.of(other)), /does not show the authority/);
    });

    it("that shows the right authority and was not signed by it", async () => {
      const out = join(other.folder, "liar");
      const files = await issueForController({ authority: other.folder, out, names: ["127.0.0.1"], days: 1 });
      const [leaf] = readFileSync(files.cert, "utf8").split(/(?<=-----END CERTIFICATE-----\n)/);
      writeFileSync(files.cert, `${leaf ?? ""}${stage.authority.authorities}`);
      await getsNothing(await opened(new EnrollmentDoor(other, files)), /comes from an authority that/);
    });

    it("whose certificate is for another name", async () => {
      const elsewhere = await opened(await EnrollmentDoor.of(stage, ["controller.example"]));
      await getsNothing(elsewhere, /is for another name/);
    });
  });

  describe("gives up with words for the operator", () => {
    it("where there is neither a certificate nor a token", async () => {
      const error = await rejectionOf(enrolled());
      expect(error).to.be.instanceOf(EnrollmentError);
      expect(error.message).to.match(/no certificate yet.*no join token in .*spicegate host token --host host-1/);
    });

    it("where the token is refused", async () => {
      const used = await putToken();
      await stage.enroll(used);
      const error = await rejectionOf(enrolled());
      expect(error).to.be.instanceOf(EnrollmentError);
      expect(error.message)
        .to.match(/refuses the join token/)
        .and.not.include(used);
    });

    it("where the file holds no token, or that of another host", async () => {
      writeFileSync(tokenFile, "hello");
      expect((await rejectionOf(enrolled())).message).to.match(/holds no join token/);
      await putToken("host-2");
      expect((await rejectionOf(enrolled())).message).to.match(/made for host host-2, and this one is host-1/);
      expect(existsSync(folder.certFile)).to.equal(false);
    });

    it("where nothing can be kept, before the token is used", async () => {
      await putToken();
      const inFile = new IdentityFolder(join(tokenFile, "identity"), HOST);
      expect((await rejectionOf(enrolled({ folder: inFile }))).message).to.match(
        /nothing can be kept in .*identity_folder/,
      );
      expect([door.calls, existsSync(tokenFile)]).to.deep.equal([0, true]);
    });

    it("where its certificate has expired", async () => {
      await putToken();
      await enrolled();
      const late = new IdentityFolder(join(folderName, "identity"), HOST);
      late.read = () => folder.read(Date.now() + 8 * DAY_MS);
      expect((await rejectionOf(enrolled({ folder: late }))).message).to.match(/expired on .*no join token/);
    });
  });

  it("uses a new token although it has a certificate, and its certificate where the token is refused", async () => {
    await putToken();
    await enrolled();
    const before = readFileSync(folder.certFile, "utf8");
    await stage.certificates.revoke(HOST, ACTOR);
    const token = await putToken();
    await enrolled();
    const after = readFileSync(folder.certFile, "utf8");
    expect(after).to.not.equal(before);
    writeFileSync(tokenFile, token);
    await enrolled();
    expect(readFileSync(folder.certFile, "utf8")).to.equal(after);
    expect(warnings()).to.match(/the join token is of no use/);
  });

  describe("renews its certificate", () => {
    let clock: FakeClock;
    let days: number;
    let renewal: CertificateRenewal;

    beforeEach(async () => {
      await putToken();
      await enrolled();
      clock = new FakeClock();
      days = 0;
      renewal = new CertificateRenewal({
        folder,
        addresses: [`127.0.0.1:${door.port}`],
        log: log.log,
        clock,
        wallClock: () => Date.now() + days * DAY_MS,
        random: () => 1,
      });
      renewal.start();
      await until("the first look", () => clock.waiting === 1);
      clock.advance(0);
      await until("the wait after it", () => clock.waiting === 1);
    });
    afterEach(() => renewal.stop());

    const current = (): X509Certificate => new X509Certificate(readFileSync(folder.certFile));

    async function look(afterMs: number): Promise<void> {
      clock.advance(afterMs);
      await until("the next wait", () => clock.waiting === 1);
    }

    it("when two thirds of its life are over, with a new key, and not before", async () => {
      const first = current();
      days = 4.6;
      await look(RENEWAL_INTERVAL_MS);
      expect(current().serialNumber).to.equal(first.serialNumber);
      days = 4.7;
      await look(RENEWAL_INTERVAL_MS);
      expect(current().serialNumber).to.not.equal(first.serialNumber);
      expect(current().publicKey.equals(first.publicKey)).to.equal(false);
      expect(current().checkPrivateKey(folder.read().key)).to.equal(true);
    });

    it("as soon as a controller answers again; until then it keeps the one before", async () => {
      const first = current();
      const { port } = door;
      await door.stop();
      days = 5;
      await look(RENEWAL_INTERVAL_MS);
      await look(RENEWAL_BACKOFF.mostMs);
      expect(current().serialNumber).to.equal(first.serialNumber);
      expect(log.at("error")).to.have.length(1);
      await opened(await EnrollmentDoor.of(stage, ["127.0.0.1"], port));
      await look(RENEWAL_BACKOFF.mostMs);
      expect(current().serialNumber).to.not.equal(first.serialNumber);
    });

    it("not where it was revoked, and says what helps", async () => {
      const first = current();
      await stage.certificates.revoke(HOST, ACTOR);
      days = 5;
      await look(RENEWAL_INTERVAL_MS);
      expect(current().serialNumber).to.equal(first.serialNumber);
      expect(JSON.stringify(log.at("error"))).to.match(/new join token/);
    });
  });
});
