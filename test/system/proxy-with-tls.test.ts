// SPDX-License-Identifier: Apache-2.0
// The proxy with a certificate of its own: what browsers see of it, and of its replacement.
import { expect } from "chai";
import { once } from "node:events";
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { connect } from "node:tls";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { waitUntil } from "../../demo/wait-until.js";
import { ConsolePage, launchBrowser, newProfile } from "../harness/browser.js";
import type { TestCertificate } from "../harness/certificates.js";
import { TestAuthority } from "../harness/certificates.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";

const EXPIRY = 'spicegate_tls_certificate_expiry_timestamp_seconds{listener="proxy"}';
const FAILURES = 'spicegate_tls_reload_failures_total{listener="proxy"}';

describe("The proxy with TLS", function () {
  this.timeout(120_000);
  const authority = new TestAuthority();
  const secret = join(authority.folder, "secret");
  let versions = 0;
  let browser: Browser;
  let machine: DemoMachine;
  let deployment: Deployment;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "over-tls", displays: ["spice-tcp"] });
    put(authority.issue({ subject: "/CN=first" }));
    for (const name of ["tls.crt", "tls.key"]) symlinkSync(join("..data", name), join(secret, name));
    const proxy = { cert: join(secret, "tls.crt"), key: join(secret, "tls.key") };
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller: { proxy } });
    await deployment.knows(machine.uuid);
    browser = await launchBrowser([authority.keyHash]);
  });

  after(async () => {
    await browser.close();
    await deployment.stop();
    authority.remove();
  });

  /** Replaces both files at once, as Kubernetes does. The chain has the authority's own certificate too. */
  function put({ cert, key }: Pick<TestCertificate, "cert" | "key">): void {
    const version = `..${(versions += 1)}`;
    mkdirSync(join(secret, version), { recursive: true });
    writeFileSync(join(secret, version, "tls.crt"), cert + authority.cert);
    writeFileSync(join(secret, version, "tls.key"), key);
    symlinkSync(version, join(secret, "..new"));
    renameSync(join(secret, "..new"), join(secret, "..data"));
  }

  /** Whose certificate a new connection is shown. */
  async function shown(): Promise<string | undefined> {
    const [host = "", port] = deployment.proxy.split(":");
    const socket = connect({ host, port: Number(port), ca: authority.cert });
    await once(socket, "secureConnect");
    const { subject } = socket.getPeerX509Certificate() ?? {};
    socket.destroy();
    return subject;
  }

  it("shows a console over https, and goes on with it while the certificate is replaced", async () => {
    const profile = await newProfile(browser);
    try {
      const { url } = responseOf(await deployment.getConsole(machine.uuid));
      expect(url).to.match(/^https:/);
      const page = await ConsolePage.open(profile);
      await page.showBanner(url);
      await page.typeAndSee("tls");
      const [cookie] = await profile.cookies();
      expect(cookie).to.include({ secure: true, httpOnly: true, sameSite: "Strict" });
      const before = await deployment.metric(EXPIRY);
      expect(await shown()).to.equal("CN=first");
      put(authority.issue({ subject: "/CN=second", days: 2 }));
      await waitUntil(async () => (await shown()) === "CN=second", { ms: 10_000, what: "the new certificate" });
      expect(await deployment.metric(EXPIRY)).to.be.greaterThan(before);
      await page.typeAndSee("on");
      expect(page.errors).to.deep.equal([]);
      await page.page.reload();
      await page.banner();
    } finally {
      await profile.close();
    }
  });

  it("keeps the certificate where the next one is no good, and says so", async () => {
    const before = await shown();
    put({ ...authority.issue(), key: authority.issue().key });
    await deployment.logged({ msg: "the new certificate is no good; the one before stays in effect" });
    expect(await deployment.metric(FAILURES)).to.equal(1);
    expect(await shown()).to.equal(before);
  });
});
