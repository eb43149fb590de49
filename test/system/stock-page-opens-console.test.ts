// SPDX-License-Identifier: Apache-2.0
// The page that opened consoles before ours did, Debian's spice-html5 as it is, in front of a real machine.
import { expect } from "chai";
import type { BrowserContext } from "playwright-core";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { waitUntil } from "../../demo/wait-until.js";
import type { Session } from "../../proto/gen/spicegate/session/v1/session.js";
import { ListSessionsRequest } from "../../proto/gen/spicegate/session/v1/session.js";
import { ConsolePage, newProfile } from "../harness/browser.js";
import { Deployment } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";
import { sharedBrowser } from "../harness/shared-browser.js";

const READER = { subject: "rita", project: "ours", roles: ["reader"] };
const SCREEN = "#spice-screen canvas";

// The library loses the leading zero that one encrypted password in 256 has, and the machine refuses that channel. No
// test is to hang on such a chance.
const COMPLETE_TICKETS = `import("/spicemsg.js").then(({ SpiceLinkAuthTicket }) => {
  const { prototype } = SpiceLinkAuthTicket;
  const write = prototype.to_buffer;
  prototype.to_buffer = function (buffer, at) {
    this.encrypted_data = [...Array(128 - this.encrypted_data.length).fill(0), ...this.encrypted_data];
    write.call(this, buffer, at);
  };
})`;

describe("Debian's spice_auto.html", function () {
  this.timeout(120_000);
  let machine: DemoMachine;
  let deployment: Deployment;
  /** A controller beside it whose caller may only look. */
  let reader: Deployment;
  let profile: BrowserContext;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    const owner = { name: "stock-page", project: READER.project, user: "u" };
    machine = await defineAndStart(libvirtd, { name: "stock-page", displays: ["spice-none"], owner });
    const controller = { console: { compat_tokens: true } };
    // Before any host is known, so that it waits for none.
    reader = await Deployment.start({ controller: { ...controller, identity: { loopback_caller: READER } } });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, databaseUrl: reader.databaseUrl, controller });
    for (const each of [reader, deployment]) await each.issuesConsolesOf(machine.uuid);
  });
  beforeEach(async () => {
    profile = await newProfile(await sharedBrowser());
  });
  afterEach(() => profile.close());
  after(() => Promise.all([reader, deployment].map((each) => each.stop())));

  const urlOf = async (of = deployment): Promise<string> => responseOf(await of.getConsole(machine.uuid)).url;

  /** The machine's screen in the stock page. */
  async function open(url: string): Promise<ConsolePage> {
    const console = await ConsolePage.open(profile, SCREEN);
    await console.page.addInitScript(COMPLETE_TICKETS);
    await console.page.goto(url);
    await console.banner();
    return console;
  }

  const sessions = async (): Promise<readonly Session[]> => {
    const list = deployment.session.listSessions.bind(deployment.session);
    return responseOf(
      await callUnary(list, ListSessionsRequest.create({ instanceUuid: machine.uuid, includeEnded: true })),
    ).sessions;
  };

  it("shows the machine's screen, takes its keys, and does so again after a reload, in one session", async () => {
    const url = await urlOf();
    expect(new URL(url).pathname).to.equal("/spice_auto.html");
    const console = await open(url);
    await console.typeAndSee("nova");
    await console.picture("stock page");
    await console.page.reload();
    await console.banner();
    await console.typeAndSee("again");
    const [session, ...others] = await sessions();
    expect(others).to.deep.equal([]);
    expect(session?.openChannels).to.be.above(2);
    // It has no icon, for which a browser asks all the same.
    expect(console.errors.filter((line) => !line.includes("404"))).to.deep.equal([]);
  });

  it("shows a reader the screen, and none of the keys that it sends reaches the machine", async () => {
    const looking = await open(await urlOf(reader));
    const dark = await looking.litPixels();
    await looking.focusScreen();
    await looking.page.keyboard.type("not a word of this");
    await looking.close();
    const typing = await open(await urlOf());
    expect(await typing.litPixels()).to.equal(dark);
    await typing.typeAndSee("seen");
    await typing.close();
  });

  it("runs no script that its address brings along", async () => {
    const page = await profile.newPage();
    const refused: string[] = [];
    page.on("console", (message) => refused.push(message.text()));
    // The page puts this into its HTML as it is.
    const title = '<img src="x" onerror="window.planted = true">';
    await page.goto(`${await urlOf()}&title=${encodeURIComponent(title)}`);
    await page.locator("#hostname img").waitFor({ state: "attached" });
    await waitUntil(() => refused.some((text) => text.includes("Content Security Policy")), {
      ms: 10_000,
      what: "the browser to refuse the script",
    });
    expect(await page.evaluate("window.planted")).to.equal(undefined);
  });
});
