// SPDX-License-Identifier: Apache-2.0
// A reader's console: the screen of a real machine, and no way to touch it. With SCREENSHOTS=folder pictures are left there.
import { expect } from "chai";
import type { BrowserContext } from "playwright-core";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { ConsolePage, newProfile } from "../harness/browser.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";
import { sharedBrowser } from "../harness/shared-browser.js";
import { linkMessage } from "../harness/spice-messages.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import { runStatement } from "../harness/test-database.js";
import type { Viewer } from "../harness/viewer.js";

const PROJECT = "ours";
/** Messages of a client on the main channel. */
const ACK = 2;
const AGENT_DATA = 107;
const caller = (subject: string, role: string): { identity: { loopback_caller: object } } => ({
  identity: { loopback_caller: { subject, project: PROJECT, roles: [role] } },
});

describe("A reader's console", function () {
  this.timeout(120_000);
  let machine: DemoMachine;
  let member: Deployment;
  let reader: Deployment;
  let profile: BrowserContext;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    const owner = { name: "view-only", project: PROJECT, user: "ana" };
    machine = await defineAndStart(libvirtd, { name: owner.name, displays: ["spice-tcp"], owner });
    // Before any host is known, so that it waits for none.
    member = await Deployment.start({ controller: caller("ana", "member") });
    const { databaseUrl } = member;
    reader = await Deployment.start({ databaseUrl, libvirtUri: libvirtd.uri, controller: caller("rita", "reader") });
    for (const deployment of [member, reader]) await deployment.issuesConsolesOf(machine.uuid);
    profile = await newProfile(await sharedBrowser());
  });
  after(async () => {
    await profile.close();
    await Promise.all([member.stop(), reader.stop()]);
  });

  async function open(deployment: Deployment): Promise<ConsolePage> {
    const page = await ConsolePage.open(profile);
    await page.showBanner(responseOf(await deployment.getConsole(machine.uuid)).url);
    return page;
  }

  it("shows the screen, says that it is view only, and offers nothing that would press a key", async () => {
    const page = await open(reader);
    const { page: tab } = page;
    await page.picture("view only");
    expect(await tab.locator("#view-only-badge").innerText()).to.equal("View only");
    for (const name of ["Send Ctrl+Alt+Del", "Send other keys", "Type a text"]) {
      expect(await tab.getByRole("button", { name }).count(), name).to.equal(0);
    }
    expect(await tab.getByRole("button", { name: "End session" }).isEnabled()).to.equal(true);
    await page.focusScreen();
    expect(await tab.locator("#screen:focus-within").count(), "the screen takes no keyboard").to.equal(0);
    expect(page.errors).to.deep.equal([]);
    await page.close();
  });

  it("lets nothing through that is typed", async () => {
    const looking = await open(reader);
    const dark = await looking.litPixels();
    await looking.focusScreen();
    await looking.page.keyboard.type("not a word of this");
    await looking.close();
    // What had reached the machine would stand there before what is typed now.
    const typing = await open(member);
    expect(await typing.litPixels()).to.equal(dark);
    await typing.typeAndSee("seen");
    expect(await typing.page.locator("#view-only-badge").isVisible()).to.equal(false);
    expect([...looking.errors, ...typing.errors]).to.deep.equal([]);
    await typing.close();
  });

  it("refuses a viewer of another make the channels that touch the machine, and goes on", async () => {
    const viewer = await reader.openConsole(machine.uuid);
    const { main, connectionId } = await viewer.joinMain();
    for (const type of [SPICE_CHANNEL.inputs, SPICE_CHANNEL.record, SPICE_CHANNEL.usbredir]) {
      const socket = await viewer.connect();
      socket.send(clientLink({ type, connectionId }));
      expect(await socket.ends()).to.deep.equal({ code: 4403, reason: "CHANNEL_TYPE_REFUSED" });
    }
    for (const type of [SPICE_CHANNEL.display, SPICE_CHANNEL.cursor]) await viewer.join(type, connectionId);
    expect(main.webSocket.readyState).to.equal(main.webSocket.OPEN);
    await main.close();
  });

  it("hands on what is harmless on the main channel, and drops the rest", async () => {
    const viewer = await reader.openConsole(machine.uuid);
    const { main, connectionId } = await viewer.joinMain();
    const joined = await bytesToMachine(viewer);
    // The agent is told of a message of 4 GiB: a display that heard of it would end the channel at once.
    main.send(Buffer.concat([header(ACK, 0), header(AGENT_DATA, 0xffff_fff0)]));
    main.send(Buffer.alloc(100_000, 0xff));
    await viewer.join(SPICE_CHANNEL.cursor, connectionId);
    expect(await bytesToMachine(viewer, joined + 1)).to.equal(joined + header(ACK, 0).length);
    expect(main.webSocket.readyState).to.equal(main.webSocket.OPEN);
    await main.close();
  });

  it("lets nobody in on the main channel whose messages it could not tell apart", async () => {
    const viewer = await reader.openConsole(machine.uuid);
    const main = await viewer.connect();
    main.send(linkMessage({ type: SPICE_CHANNEL.main, commonCaps: [3] }));
    expect(await main.ends()).to.deep.equal({ code: 4400, reason: "INVALID_ARGUMENT" });
  });

  it("is not to be had for a native viewer", async () => {
    const { rest } = reader;
    const direct = await reader.getConsole(machine.uuid, { consoleType: "spice-direct" });
    expect(direct).to.have.nested.property("failure.reason", "PERMISSION_DENIED");
    expect((await rest.remoteConsole(machine.uuid, { type: "spice-direct", version: "2.99" })).status).to.equal(403);
    expect((await rest.remoteConsole(machine.uuid)).status).to.equal(200);
    expect(responseOf(await member.getConsole(machine.uuid, { consoleType: "spice-direct" })).viewOnly).to.equal(false);
  });

  it("is told as such to programs, in the session and in the audit", async () => {
    expect(responseOf(await reader.getConsole(machine.uuid)).viewOnly).to.equal(true);
    const viewer = await reader.openConsole(machine.uuid);
    expect((await reader.sessionOf(viewer)).viewOnly).to.equal(true);
    expect(await viewer.status()).to.include({ state: "open", view_only: true });
    const rows = await runStatement(
      reader.databaseUrl,
      "select distinct subject, reason from audit_events where action = 'issued' order by subject",
    );
    expect(rows).to.deep.equal([
      { subject: "ana", reason: "" },
      { subject: "rita", reason: "view-only" },
    ]);
  });

  /** What the session's main channel has carried to the machine, once it is at least `least`. */
  async function bytesToMachine(viewer: Viewer, least = 1): Promise<number> {
    let carried = 0;
    const shows = ({ channels }: { channels: readonly { type: number; bytesToMachine: bigint }[] }): boolean => {
      carried = Number(channels.find(({ type }) => type === SPICE_CHANNEL.main)?.bytesToMachine ?? 0n);
      return carried >= least;
    };
    await reader.sessionShows(viewer, shows, "the bytes of main");
    return carried;
  }
});

function header(type: number, size: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16LE(type, 0);
  bytes.writeUInt32LE(size, 2);
  return bytes;
}
