// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { closeSync, constants, mkdirSync, openSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Registry } from "prom-client";
import { TLS_FILES_INTERVAL_MS } from "../../../src/lib/limits.js";
import type { TlsFileNames, TlsFilesOptions, TlsIdentity } from "../../../src/lib/tls-files.js";
import { readTlsIdentity, TlsFiles } from "../../../src/lib/tls-files.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";
import type { TestCertificate } from "../../harness/certificates.js";
import { TestAuthority } from "../../harness/certificates.js";
import { until, within } from "../../harness/within.js";

describe("TlsFiles", () => {
  const authority = new TestAuthority();
  const folder = authority.folder;
  const names = { cert: join(folder, "live.pem"), key: join(folder, "live.key") };
  let first: TestCertificate;
  let second: TestCertificate;
  let clock: FakeClock;
  let log: FakeLog;
  let registry: Registry;
  let files: TlsFiles;
  let changes: TlsIdentity[];

  before(() => {
    first = authority.issue();
    second = authority.issue({ days: 2 });
  });
  after(() => authority.remove());

  beforeEach(() => {
    write(first);
    clock = new FakeClock();
    log = new FakeLog();
    registry = new Registry();
    files = watch(names);
    files.start();
  });
  afterEach(() => files.stop());

  function watch(fileNames: TlsFileNames, more: Partial<TlsFilesOptions> = {}): TlsFiles {
    const metrics = createControllerMetrics(registry);
    const watched = new TlsFiles({ name: "proxy", files: fileNames, metrics, log: log.log, clock, ...more });
    changes = [];
    watched.onChange((identity) => void changes.push(identity));
    return watched;
  }

  function write({ cert, key }: { readonly cert: string; readonly key: string }): void {
    writeFileSync(names.cert, cert);
    writeFileSync(names.key, key);
  }

  /** Lets the files be looked at so many times. */
  async function look(times: number): Promise<void> {
    for (let time = 0; time < times; time += 1) {
      await until("the last look to end", () => clock.waiting === 1);
      clock.advance(TLS_FILES_INTERVAL_MS);
    }
    await until("the look to end", () => clock.waiting === 1);
  }

  const metric = async (name: string): Promise<number | undefined> =>
    (await registry.getSingleMetric(`spicegate_${name}`)?.get())?.values[0]?.value;
  const expiry = ({ cert }: TestCertificate): number => Date.parse(new X509Certificate(cert).validTo);

  it("has what the files hold at the start, and says when it expires", async () => {
    expect(files.identity).to.deep.include({ cert: first.cert, key: first.key });
    expect(files.identity.expiresAt.getTime()).to.equal(expiry(first));
    expect(await metric("tls_certificate_expiry_timestamp_seconds")).to.equal(expiry(first) / 1_000);
    await look(3);
    expect(changes).to.deep.equal([]);
  });

  it("takes what has been written, once", async () => {
    write(second);
    await look(3);
    expect(changes.map(({ cert }) => cert)).to.deep.equal([second.cert]);
    expect(files.identity.key).to.equal(second.key);
    expect(await metric("tls_certificate_expiry_timestamp_seconds")).to.equal(expiry(second) / 1_000);
    expect(log.at("info").map(({ msg }) => msg)).to.deep.equal(["a new certificate is in effect"]);
  });

  it("follows a link that is swapped, as Kubernetes does it", async () => {
    await files.stop();
    const secret = join(folder, "secret");
    const version = (name: string, { cert, key }: TestCertificate): void => {
      mkdirSync(join(secret, name), { recursive: true });
      writeFileSync(join(secret, name, "tls.crt"), cert);
      writeFileSync(join(secret, name, "tls.key"), key);
      symlinkSync(name, join(secret, "..data_tmp"));
      renameSync(join(secret, "..data_tmp"), join(secret, "..data"));
    };
    version("..1", first);
    for (const name of ["tls.crt", "tls.key"]) symlinkSync(join("..data", name), join(secret, name));
    registry.clear();
    files = watch({ cert: join(secret, "tls.crt"), key: join(secret, "tls.key") });
    files.start();
    version("..2", second);
    rmSync(join(secret, "..1"), { recursive: true });
    await look(2);
    expect(files.identity.cert).to.equal(second.cert);
  });

  it("waits until both files have come to rest, and complains of nothing meanwhile", async () => {
    writeFileSync(names.cert, second.cert);
    await look(1);
    writeFileSync(names.key, second.key);
    await look(1);
    expect(changes).to.deep.equal([]);
    await look(1);
    expect(files.identity).to.deep.include({ cert: second.cert, key: second.key });
    expect(log.at("error")).to.deep.equal([]);
  });

  for (const [what, spoil] of Object.entries({
    "are no pair": () => writeFileSync(names.key, second.key),
    "hold nonsense": () => writeFileSync(names.cert, "nonsense"),
    "are gone": () => rmSync(names.key),
  })) {
    it(`keeps the old ones where the new ones ${what}, says so once, and takes the next good ones`, async () => {
      spoil();
      await look(4);
      expect(files.identity).to.deep.include({ cert: first.cert, key: first.key });
      expect(changes).to.deep.equal([]);
      expect(await metric("tls_reload_failures_total")).to.equal(1);
      const [line, ...others] = log.at("error");
      expect(line).to.include({ listener: "proxy" });
      expect(JSON.stringify(line)).to.include("live.key");
      expect(others).to.deep.equal([]);
      write(second);
      await look(2);
      expect(files.identity.cert).to.equal(second.cert);
    });
  }

  it("waits for files that hang without keeping others from theirs, and takes what then comes", async () => {
    await files.stop();
    registry.clear();
    files = watch(names, { readMs: 5 });
    files.start();
    rmSync(names.cert);
    execFileSync("mkfifo", [names.cert]);
    try {
      await look(6);
      await within("another file", readFile(first.certFile));
      expect(await metric("tls_reload_failures_total")).to.equal(1);
    } finally {
      // Whoever waits for it reads its end.
      closeSync(openSync(names.cert, constants.O_RDWR));
      rmSync(names.cert);
    }
    write(second);
    // On a busy machine a good read may take longer than that, too.
    for (let looks = 0; looks < 100 && changes.length === 0; looks += 1) await look(1);
    expect(files.identity.cert).to.equal(second.cert);
  });

  it("takes the old ones again after bad ones", async () => {
    writeFileSync(names.cert, "nonsense");
    await look(2);
    write(first);
    await look(2);
    expect(log.at("info").map(({ msg }) => msg)).to.deep.equal(["a new certificate is in effect"]);
  });

  it("does not start without them", async () => {
    await files.stop();
    rmSync(names.key);
    registry.clear();
    files = watch(names);
    expect(() => files.start()).to.throw(/ENOENT.*live\.key/);
    expect(() => files.identity).to.throw("has not been read");
  });

  it("takes certificate and key from one file", () => {
    writeFileSync(names.cert, first.key + first.cert);
    expect(readTlsIdentity({ cert: names.cert, key: names.cert }).expiresAt.getTime()).to.equal(expiry(first));
  });

  it("takes new authorities together with the rest, and keeps the old ones where the new ones are too many", async () => {
    await files.stop();
    registry.clear();
    const ca = join(folder, "ca.live");
    const other = new TestAuthority("/CN=Other");
    try {
      writeFileSync(ca, authority.cert);
      files = watch({ ...names, ca });
      files.start();
      expect(files.identity.ca).to.equal(authority.cert);
      writeFileSync(ca, authority.cert + other.cert);
      await look(2);
      expect(files.identity.ca).to.equal(authority.cert + other.cert);
      expect(files.identity.cert).to.equal(first.cert);
      writeFileSync(ca, authority.cert.repeat(3));
      await look(2);
      expect(files.identity.ca).to.equal(authority.cert + other.cert);
      expect(await metric("tls_reload_failures_total")).to.equal(1);
    } finally {
      other.remove();
    }
  });

  it("stops looking", async () => {
    await files.stop();
    await files.stop();
    expect(clock.waiting).to.equal(0);
  });
});
