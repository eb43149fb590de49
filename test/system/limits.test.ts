// SPDX-License-Identifier: Apache-2.0
// What people see of limits, in Debian's Chromium. With SCREENSHOTS=folder every state leaves a picture there.
import { expect } from "chai";
import type { BrowserContext } from "playwright-core";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { EndReason } from "../../proto/gen/spicegate/session/v1/session.js";
import { ConsolePage, newProfile } from "../harness/browser.js";
import type { Settings } from "../harness/deployment.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";
import { startRichMachine } from "../harness/machines.js";
import { sharedBrowser } from "../harness/shared-browser.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import { postToken, tokenOf } from "../harness/viewer.js";

const IDLE_S = 14;

describe("Limits in a browser", function () {
  this.timeout(120_000);
  let machine: DemoMachine;
  let profile: BrowserContext;
  let deployment: Deployment;
  let pages: ConsolePage[] = [];

  before(async () => {
    machine = await startRichMachine(await sharedLibvirtd(), "limits");
    profile = await newProfile(await sharedBrowser());
  });
  after(() => profile.close());

  afterEach(async () => {
    for (const page of pages) await page.close();
    pages = [];
  });

  async function deploy(sessions: Settings[string]): Promise<void> {
    const { uri } = await sharedLibvirtd();
    deployment = await Deployment.start({ libvirtUri: uri, controller: { sessions } });
    await deployment.knows(machine.uuid);
  }

  const url = async (): Promise<string> => responseOf(await deployment.getConsole(machine.uuid)).url;

  async function tab(): Promise<ConsolePage> {
    const page = await ConsolePage.open(profile);
    pages.push(page);
    return page;
  }

  async function open(): Promise<ConsolePage> {
    const page = await tab();
    await page.showBanner(await url());
    return page;
  }

  const panelOf = (page: ConsolePage): Promise<string> => page.page.locator("#panel").innerText();
  const limitsReached = (limit: string): Promise<number> =>
    deployment.metric(`spicegate_limits_reached_total{limit="${limit}"}`);
  /** Chromium's own line for a refused token is none of ours. */
  const errorsOf = (page: ConsolePage): string[] => page.errors.filter((line) => !/ (409|429) /.test(line));

  describe("with an idle time, and a second viewer that takes over", () => {
    before(() => deploy({ idle_time: IDLE_S, second_viewer: "take-over" }));
    after(() => deployment.stop());

    it("warn before they end an idle session, take it back for a key or the mouse, and end it", async () => {
      const page = await open();
      const notice = page.page.locator('[data-notice="idle"]');
      const warned = (): Promise<void> => notice.waitFor({ timeout: IDLE_S * 1_000 });
      const takenBack = (): Promise<void> => notice.waitFor({ state: "detached", timeout: 1_000 });
      await warned();
      await page.picture("idle warning");
      expect(await notice.innerText()).to.match(/ends in \d+ s.*any key or move the mouse/s);
      expect(await page.page.locator("#alert").innerText()).to.match(/about to end.*any key or move the mouse/s);
      await page.focusScreen();
      await page.page.keyboard.press("a");
      await takenBack();
      expect(await page.page.locator("#alert").textContent()).to.equal("");
      // Not even the server's next word brings it back at once.
      const asked = page.page.waitForResponse((response) => response.url().endsWith("/status"));
      expect(((await (await asked).json()) as { idle: { seconds_left: number } }).idle.seconds_left).to.be.above(
        IDLE_S / 2,
      );
      expect(await notice.count()).to.equal(0);
      await warned();
      await page.page.mouse.move(300, 300);
      await page.page.mouse.move(320, 320);
      await takenBack();
      await page.is("ended", (IDLE_S + 5) * 1_000);
      await page.picture("idle ended");
      expect(await panelOf(page)).to.match(/nobody was typing/i);
      expect(await limitsReached("idle_time")).to.equal(1);
      expect(page.errors).to.deep.equal([]);
    });

    it("tell the first viewer that somebody else has taken the console over", async () => {
      const first = await open();
      const second = await open();
      await first.is("ended");
      await first.page.bringToFront();
      await first.picture("taken over");
      expect(await panelOf(first)).to.match(/someone else has opened this console/i);
      await second.typeAndSee("mine");
      expect([...first.errors, ...second.errors]).to.deep.equal([]);
    });
  });

  describe("with one viewer at a time", () => {
    before(() => deploy({ second_viewer: "deny" }));
    after(() => deployment.stop());

    it("refuse the second one in words, and let it in by the same URL once the first has left", async () => {
      const first = await open();
      const second = await tab();
      await second.page.goto(await url());
      await second.is("refused");
      await second.picture("in use");
      expect(await panelOf(second)).to.match(/somebody else is using this console/i);
      expect(await limitsReached("second_viewer")).to.equal(1);
      await first.page.reload();
      await first.is("connected");
      await first.page.getByRole("button", { name: "End session" }).click();
      await first.page.locator("#end-confirm").click();
      await first.is("ended");
      await second.page.getByRole("button", { name: "Try again" }).click();
      await second.is("connected");
      expect([...first.errors, ...errorsOf(second)]).to.deep.equal([]);
    });
  });

  describe("with one session per instance", () => {
    before(() => deploy({ max_per_instance: 1 }));
    after(() => deployment.stop());

    it("refuse the next one in words, and say which limit it is", async () => {
      await deployment.openConsole(machine.uuid);
      const page = await tab();
      const next = await url();
      await page.page.goto(next);
      await page.is("refused");
      await page.picture("too many consoles");
      expect(await panelOf(page)).to.match(/too many consoles of this machine/i);
      const { status, body } = await postToken(deployment.proxy, tokenOf(next));
      expect({ status, ...body }).to.deep.include({ status: 429, reason: "LIMITED", limit: "max_per_instance" });
      expect(await limitsReached("max_per_instance")).to.equal(2);
    });
  });

  describe("with channel types that are off", () => {
    before(() => deploy({}));
    after(() => deployment.stop());

    it("break nothing that people see of a machine that offers them", async () => {
      const page = await open();
      await page.typeAndSee("works");
      await page.picture("channel types off");
      expect(await limitsReached("channel_types")).to.be.greaterThan(0);
      expect(page.errors).to.deep.equal([]);
    });

    it("close the refused channel alone, and record it", async () => {
      const viewer = await deployment.openConsole(machine.uuid);
      const { main, connectionId } = await viewer.joinMain();
      const usb = await viewer.connect();
      usb.send(clientLink({ type: SPICE_CHANNEL.usbredir, connectionId }));
      expect(await usb.ends()).to.deep.equal({ code: 4403, reason: "CHANNEL_TYPE_REFUSED" });
      await viewer.join(SPICE_CHANNEL.cursor, connectionId);
      expect(main.webSocket.readyState).to.equal(main.webSocket.OPEN);
      const isRefused = ({ closeReason }: { closeReason: EndReason }): boolean =>
        closeReason === EndReason.END_REASON_REFUSED;
      await deployment.sessionShows(viewer, ({ channels }) => channels.some(isRefused), "the refused channel");
      await main.close();
    });
  });
});
