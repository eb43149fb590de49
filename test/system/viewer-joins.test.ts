// SPDX-License-Identifier: Apache-2.0
// A console URL is opened by a viewer without a browser: it redeems the token and joins channels of a real machine.
import { expect } from "chai";
import type { DemoMachine, DisplayKind } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { AuditAction } from "../../proto/gen/spicegate/audit/v1/audit.js";
import { PowerState } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { ChannelType, EndReason } from "../../proto/gen/spicegate/session/v1/session.js";
import { Deployment } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { reaches } from "../harness/inventory-calls.js";
import { startRichMachine } from "../harness/machines.js";
import { SPICE_CHANNEL } from "../harness/spice-wire.js";
import { postToken, refusalOf, tokenOf, Viewer } from "../harness/viewer.js";

const KINDS: readonly DisplayKind[] = ["spice-none", "spice-socket", "spice-tcp", "spice-tls", "spice-network"];

const { display, inputs, cursor, playback, record, usbredir } = SPICE_CHANNEL;
const SIX_MORE = [display, inputs, cursor, playback, record, usbredir];
describe("A viewer joins", function () {
  this.timeout(60_000);
  const machines = new Map<DisplayKind, DemoMachine>();
  let deployment: Deployment;
  let uuid: string;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    for (const kind of KINDS) {
      machines.set(kind, await defineAndStart(libvirtd, { name: `joins-${kind}`, displays: [kind] }));
    }
    const controller = { console: { channel_types: Object.keys(SPICE_CHANNEL) } };
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller });
    for (const machine of machines.values()) await deployment.knows(machine.uuid);
    uuid = machines.get("spice-none")?.uuid ?? "";
  });
  after(() => deployment.stop());

  /** A machine with everything that a viewer can have a channel for. */
  async function startRich(): Promise<string> {
    const rich = await startRichMachine(await sharedLibvirtd(), "joins-rich");
    await deployment.knows(rich.uuid);
    await reaches(deployment, rich.uuid, PowerState.POWER_STATE_RUNNING);
    return rich.uuid;
  }

  for (const kind of KINDS) {
    it(`a machine whose display is ${kind}`, async () => {
      const viewer = await deployment.openConsole(machines.get(kind)?.uuid ?? "");
      const { main, connectionId } = await viewer.joinMain();
      expect(connectionId).to.be.above(0);
      await main.close();
    });
  }

  it("with seven channels, each of which the session records", async () => {
    const rich = await startRich();
    const viewer = await deployment.openConsole(rich);
    const { main, connectionId } = await viewer.joinMain();
    const sockets = [main];
    for (const type of SIX_MORE) sockets.push(await viewer.join(type, connectionId));
    const session = await deployment.sessionShows(
      viewer,
      ({ channels }) => channels.length === 7 && channels.every(({ bytesToViewer }) => bytesToViewer > 0n),
      "seven channels with traffic",
    );
    expect(session).to.include({ instanceUuid: rich, host: deployment.host, subject: "loopback", openChannels: 7 });
    expect(session.channels.map(({ type }) => type)).to.deep.equal([
      ChannelType.CHANNEL_TYPE_MAIN,
      ChannelType.CHANNEL_TYPE_DISPLAY,
      ChannelType.CHANNEL_TYPE_INPUTS,
      ChannelType.CHANNEL_TYPE_CURSOR,
      ChannelType.CHANNEL_TYPE_PLAYBACK,
      ChannelType.CHANNEL_TYPE_RECORD,
      ChannelType.CHANNEL_TYPE_USBREDIR,
    ]);
    for (const socket of sockets.reverse()) await socket.close();
    const left = await deployment.sessionShows(viewer, ({ openChannels }) => openChannels === 0, "no open channel");
    for (const channel of left.channels) expect(channel.closeReason).to.equal(EndReason.END_REASON_VIEWER_LEFT);
    expect(left.endedAt).to.equal(undefined);
  });

  it("again by its cookie, after all its channels were closed", async () => {
    const viewer = await deployment.openConsole(uuid);
    await (await viewer.joinMain()).main.close();
    expect(await viewer.status()).to.include({ state: "open" });
    await (await viewer.joinMain()).main.close();
  });

  it("once only: the URL is used up, also where it is opened twice at the same instant", async () => {
    const result = await deployment.getConsole(uuid);
    const token = tokenOf(result.ok ? result.response.url : "");
    const answers = await Promise.all(Array.from({ length: 8 }, () => postToken(deployment.proxy, token)));
    expect(answers.map(({ status }) => status).sort()).to.deep.equal([201, ...Array<number>(7).fill(401)]);
    const late = await postToken(deployment.proxy, token);
    expect(late.body).to.include({ reason: "TOKEN_USED" });
  });

  it("not with the cookie of another session, nor without one", async () => {
    const [one, other] = [await deployment.openConsole(uuid), await deployment.openConsole(uuid)];
    for (const cookie of [other.cookie, "", "spicegate_session=x"]) {
      const refusal = await refusalOf(one.connect({ cookie }));
      expect(refusal.status).to.equal(404);
      expect(refusal.body).to.include({ reason: "SESSION_NOT_FOUND" });
    }
  });

  it("not from a page of another origin", async () => {
    const viewer = await deployment.openConsole(uuid);
    for (const origin of ["http://127.0.0.1:1", "http://evil.example", "null"]) {
      const refusal = await refusalOf(viewer.connect({ origin }));
      expect(refusal.body).to.include({ reason: "ORIGIN_REFUSED" });
    }
    await (await viewer.connect({ origin: `http://${deployment.proxy}` })).close();
  });

  it("and no page of another origin opens its URL, or ends what its viewer has opened", async () => {
    const result = await deployment.getConsole(uuid);
    if (!result.ok) throw new Error(result.failure.message);
    const token = tokenOf(result.response.url);
    for (const origin of ["http://127.0.0.1:1", "http://evil.example", "null"]) {
      const answer = await postToken(deployment.proxy, token, { origin });
      expect([answer.status, answer.body["reason"]]).to.deep.equal([403, "ORIGIN_REFUSED"]);
      expect(answer.headers.get("set-cookie")).to.equal(null);
    }
    const viewer = await Viewer.open(deployment.proxy, token);
    const ended = await viewer.request("DELETE", "", { origin: "http://evil.example" });
    expect([ended.status, ended.body["reason"]]).to.deep.equal([403, "ORIGIN_REFUSED"]);
    expect(await viewer.status()).to.include({ state: "open" });
  });

  it("and leaves an audit row for each step", async () => {
    const viewer = await deployment.openConsole(uuid);
    await (await viewer.joinMain()).main.close();
    await deployment.sessionShows(viewer, ({ openChannels }) => openChannels === 0, "its channel closed");
    await viewer.request("DELETE", "");
    const list = deployment.audit.listAuditEvents.bind(deployment.audit);
    const request = {
      instanceUuid: "",
      sessionId: viewer.sessionId,
      subject: "",
      action: AuditAction.AUDIT_ACTION_UNSPECIFIED,
      since: undefined,
      until: undefined,
      pageSize: 0,
      pageToken: "",
    };
    await deployment.sessionShows(viewer, ({ endedAt }) => endedAt !== undefined, "the end of the session");
    const result = await callUnary(list, request);
    if (!result.ok) throw new Error(result.failure.message);
    expect(result.response.events.map(({ action }) => action)).to.deep.equal([
      AuditAction.AUDIT_ACTION_ENDED,
      AuditAction.AUDIT_ACTION_CHANNEL_CLOSED,
      AuditAction.AUDIT_ACTION_CHANNEL_OPENED,
      AuditAction.AUDIT_ACTION_REDEEMED,
    ]);
    for (const event of result.response.events) {
      expect(event).to.include({ instanceUuid: uuid, host: deployment.host, clientAddress: "127.0.0.1" });
    }
  });
});
