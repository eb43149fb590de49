// SPDX-License-Identifier: Apache-2.0
// What a person sees: real machines in Debian's Chromium. With SCREENSHOTS=folder every state leaves a picture there.
import { expect } from "chai";
import type { BrowserContext } from "playwright-core";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { freePort } from "../../demo/ports.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { waitUntil } from "../../demo/wait-until.js";
import { PowerState } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { EndReason } from "../../proto/gen/spicegate/session/v1/session.js";
import { ConsolePage, newProfile } from "../harness/browser.js";
import { Deployment } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { reaches, responseOf } from "../harness/inventory-calls.js";
import { Network } from "../harness/network.js";
import { sharedBrowser } from "../harness/shared-browser.js";

/** Holds back what opens the inputs channel: SPICE's link message with a channel type of 3 in its 21st byte. */
const HOLD_INPUTS = `(() => {
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    const bytes = new Uint8Array(data);
    const opensInputs = bytes[0] === 0x52 && bytes[1] === 0x45 && bytes[20] === 3;
    if (!opensInputs) return send.call(this, data);
    window.releaseInputs = () => send.call(this, data);
  };
})()`;

describe("A console in a browser", function () {
  this.timeout(120_000);
  let libvirtd: PrivateLibvirtd;
  let noPort: DemoMachine;
  let tcp: DemoMachine;
  let deployment: Deployment;
  let network: Network;
  let profile: BrowserContext;
  let pages: ConsolePage[] = [];

  before(async () => {
    libvirtd = await sharedLibvirtd();
    noPort = await defineAndStart(libvirtd, { name: "browser-no-port", displays: ["spice-none"] });
    tcp = await defineAndStart(libvirtd, { name: "browser-tcp", displays: ["spice-tcp"] });
    const port = await freePort();
    const controller = { spice: { html5proxy_base_url: `http://127.0.0.1:${port}/console` } };
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller });
    network = new Network(port, deployment.proxy);
    await network.mend();
    for (const { uuid } of [noPort, tcp]) await deployment.knows(uuid);
    profile = await newProfile(await sharedBrowser());
  });
  after(async () => {
    await profile.close();
    await network.cut();
    await deployment.stop();
  });

  afterEach(async () => {
    for (const page of pages) await page.close();
    pages = [];
  });

  const urlOf = async (machine: DemoMachine): Promise<string> =>
    responseOf(await deployment.getConsole(machine.uuid)).url;

  async function tab(): Promise<ConsolePage> {
    const page = await ConsolePage.open(profile);
    pages.push(page);
    return page;
  }

  /** A tab that shows the machine's banner. */
  async function open(machine: DemoMachine): Promise<ConsolePage> {
    const page = await tab();
    await page.showBanner(await urlOf(machine));
    return page;
  }

  const sessionIdOf = (page: ConsolePage): string => /\/s\/([\w-]{22})\/$/.exec(page.page.url())?.[1] ?? "";

  for (const kind of ["without any port", "with a port"]) {
    it(`shows the banner of a machine ${kind}, and what is typed`, async () => {
      const page = await open(kind === "with a port" ? tcp : noPort);
      await page.typeAndSee("hello");
      await page.picture(`connected ${kind}`);
      expect(page.errors).to.deep.equal([]);
    });
  }

  it("leaves no token in the address, and rejoins after a reload", async () => {
    const page = await open(noPort);
    expect(page.page.url()).to.match(/\/s\/[\w-]{22}\/$/);
    await page.page.reload();
    await page.is("connected");
    await page.banner();
    await page.typeAndSee("again");
    expect(page.errors).to.deep.equal([]);
  });

  it("sends a password whose encrypted form begins with a zero", async () => {
    const page = await open(noPort);
    expect(await page.page.evaluate(SHORT_TICKET)).to.deep.equal([0, 7]);
  });

  it("says that it is connected only once keys arrive", async () => {
    const page = await tab();
    await page.page.addInitScript(HOLD_INPUTS);
    await page.page.goto(await urlOf(noPort));
    await page.banner();
    await page.is("connecting");
    await page.page.evaluate("releaseInputs()");
    await page.is("connected");
    await page.typeAndSee("now");
  });

  it("is refused in words when its URL was used before", async () => {
    const url = await urlOf(noPort);
    const first = await tab();
    await first.show(url);
    const second = await tab();
    await second.page.goto(url);
    await second.is("refused");
    expect(await second.page.locator("#panel").innerText()).to.match(/used/i);
    await second.picture("used before");
    // Chromium's own line for the 401; nothing else.
    expect(second.errors.filter((line) => !line.includes("401"))).to.deep.equal([]);
  });

  it("restarts the machine by Ctrl+Alt+Del", async () => {
    const page = await open(tcp);
    const before = await page.litPixels();
    await page.typeAndSee("before");
    await page.page.getByRole("button", { name: "Send Ctrl+Alt+Del" }).click();
    // The typed text goes, and what was typed before this test; the banner comes back.
    await waitUntil(async () => (await page.litPixels()) <= before, { ms: 30_000, what: "the screen to be cleared" });
    await page.banner();
    await page.typeAndSee("after");
    expect(page.errors).to.deep.equal([]);
  });

  it("types a pasted text, key by key", async () => {
    const page = await open(tcp);
    const before = await page.litPixels();
    await page.page.getByRole("button", { name: "Type a text" }).click();
    await page.page.locator("#paste-text").fill("The quick brown fox, 0123456789");
    await page.picture("paste");
    await page.page.locator("#paste-send").click();
    await page.lights(before + 400);
    expect(page.errors).to.deep.equal([]);
  });

  it("keeps two tabs on two machines apart", async () => {
    const one = await open(noPort);
    const other = await open(tcp);
    const still = await other.litPixels();
    await one.page.bringToFront();
    await one.typeAndSee("only here");
    expect(await other.litPixels()).to.equal(still);
    await other.page.bringToFront();
    await other.typeAndSee("and there");
    expect([...one.errors, ...other.errors]).to.deep.equal([]);
  });

  it("says who ended it when it is terminated over the API", async () => {
    const page = await open(noPort);
    const terminate = deployment.session.terminateSession.bind(deployment.session);
    responseOf(await callUnary(terminate, { sessionId: sessionIdOf(page) }));
    await page.is("ended");
    await page.picture("terminated");
    expect(await page.page.locator("#panel").innerText()).to.match(/ended/i);
    expect(page.errors).to.deep.equal([]);
  });

  it("ends when its viewer says so, after being asked", async () => {
    const page = await open(noPort);
    await page.page.getByRole("button", { name: "End session" }).click();
    await page.picture("end asked");
    await page.page.locator("#end-confirm").click();
    await page.is("ended");
    const get = deployment.session.getSession.bind(deployment.session);
    const { session } = responseOf(await callUnary(get, { sessionId: sessionIdOf(page) }));
    expect(session?.endReason).to.equal(EndReason.END_REASON_TERMINATED);
    expect(page.errors).to.deep.equal([]);
  });

  it("connects again by itself after the network was cut", async () => {
    const page = await open(noPort);
    await network.cut();
    await page.is("reconnecting");
    await page.picture("reconnecting");
    await network.mend();
    await page.is("connected", 60_000);
    await page.banner();
    await page.typeAndSee("back");
  });

  it("connects again by itself after the agent was killed", async () => {
    const page = await open(noPort);
    deployment.agent!.kill("SIGKILL");
    await page.is("reconnecting");
    await deployment.agent!.start();
    await page.is("connected", 60_000);
    await page.banner();
    expect(page.errors).to.deep.equal([]);
  });

  it("tells that the machine was stopped", async () => {
    const page = await open(tcp);
    await libvirtd.virsh("destroy", tcp.uuid);
    await page.is("ended");
    await page.picture("stopped");
    expect(await page.page.locator("#panel").innerText()).to.match(/stopped|shut down/i);
    expect(page.errors).to.deep.equal([]);
    await libvirtd.virsh("start", tcp.uuid);
    await reaches(deployment, tcp.uuid, PowerState.POWER_STATE_RUNNING);
  });

  it("can be used by keyboard alone", async () => {
    const page = await open(noPort);
    await page.focusScreen();
    const { keyboard } = page.page;
    for (const key of ["Control", "Alt", "Shift"]) await keyboard.down(key);
    for (const key of ["Shift", "Alt", "Control"]) await keyboard.up(key);
    const focused = page.page.locator("#toolbar :focus");
    await focused.waitFor({ timeout: 5_000 });
    await keyboard.press("Escape");
    await focused.waitFor({ state: "detached", timeout: 5_000 });
    await page.typeAndSee("keys");
    expect(page.errors).to.deep.equal([]);
  });
});

// The first and the last byte of what the page's library writes for an encrypted password that has lost its first zero.
const SHORT_TICKET = `(async () => {
  const { SpiceLinkAuthTicket } = await import("/assets/spice-html5/spicemsg.js");
  const ticket = new SpiceLinkAuthTicket();
  ticket.encrypted_data = Array(127).fill(7);
  const buffer = new ArrayBuffer(ticket.buffer_size());
  ticket.to_buffer(buffer);
  return [new Uint8Array(buffer)[4], new Uint8Array(buffer).at(-1)];
})()`;
