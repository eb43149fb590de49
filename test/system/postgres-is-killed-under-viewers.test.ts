// SPDX-License-Identifier: Apache-2.0
// Postgres goes while viewers are connected: open channels need it for nothing.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { EmbeddedPostgres } from "../../demo/embedded-postgres.js";
import { waitUntil } from "../../demo/wait-until.js";
import { EndReason } from "../../proto/gen/spicegate/session/v1/session.js";
import { migrate } from "../../src/db/migrate.js";
import { silentLog } from "../../src/lib/log.js";
import { FakeDisplay } from "../fakes/fake-display.js";
import { Deployment } from "../harness/deployment.js";
import type { LinkOptions } from "../harness/spice-wire.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import type { Viewer, ViewerSocket } from "../harness/viewer.js";
import { postToken, refusalOf, tokenOf } from "../harness/viewer.js";

const AWAY = "DATABASE_UNAVAILABLE";
/** A statement that nobody answers is given up after 2.5 s; from then on everybody is told at once. */
const FROZEN_MS = 4_000;
const AT_ONCE_MS = 1_000;

describe("Postgres is killed under viewers", function () {
  this.timeout(120_000);
  const machine = { uuid: randomUUID(), name: "postgres-under-viewers" };
  const postgres = new EmbeddedPostgres();
  let display: FakeDisplay;
  let deployment: Deployment;
  let viewer: Viewer;
  let main: ViewerSocket;
  let inputs: ViewerSocket;
  let token: string;

  before(async () => {
    display = await FakeDisplay.start((socket) => socket.pipe(socket));
    await postgres.start();
    await migrate({ url: postgres.url }, silentLog);
    deployment = await Deployment.start({ databaseUrl: postgres.url, libvirtUri: display.libvirtUri([machine]) });
    await deployment.knows(machine.uuid);
  });
  after(async () => {
    await deployment.stop();
    await postgres.stop();
    await display.stop();
  });
  beforeEach(async () => {
    viewer = await deployment.openConsole(machine.uuid);
    main = await join({ type: SPICE_CHANNEL.main });
    inputs = await join({ type: SPICE_CHANNEL.inputs, connectionId: 1 });
    const issued = await deployment.getConsole(machine.uuid);
    token = tokenOf(issued.ok ? issued.response.url : "");
  });

  /** A channel that has carried something both ways. */
  async function join(link: LinkOptions): Promise<ViewerSocket> {
    const socket = await viewer.connect();
    socket.send(clientLink(link));
    await echoes(socket);
    return socket;
  }

  /** What is sent now comes back. */
  async function echoes(socket: ViewerSocket): Promise<void> {
    const bytes = Buffer.from(randomUUID());
    socket.send(bytes);
    expect(await socket.read(bytes.length)).to.deep.equal(bytes);
  }

  /** Whoever needs Postgres is told that it is away, and in time. */
  async function refusesNewcomers(ms: number): Promise<void> {
    const asked = performance.now();
    const [redeemed, refusal, status] = await Promise.all([
      postToken(deployment.proxy, token),
      refusalOf(viewer.connect()),
      viewer.status(),
    ]);
    expect(performance.now() - asked, "ms to be refused").to.be.below(ms);
    expect(redeemed).to.have.property("status", 503);
    expect(redeemed.body).to.include({ reason: AWAY });
    expect(refusal).to.have.property("status", 503);
    expect(refusal.body).to.include({ reason: AWAY });
    expect(status).to.include({ state: "refused", reason: AWAY });
  }

  /** What happened meanwhile is written, the session can be joined, and the token that was refused is good. */
  async function isMadeGood(): Promise<void> {
    const isOpen = async (): Promise<boolean> => (await viewer.status())["state"] === "open";
    await waitUntil(isOpen, { ms: 10_000, what: "the page to hear that the session is open" });
    const left = await deployment.sessionShows(
      viewer,
      ({ openChannels, channels }) => openChannels === 1 && channels.some(({ closedAt }) => closedAt !== undefined),
      "the end of the channel that left meanwhile",
      20_000,
    );
    const gone = left.channels.find(({ closedAt }) => closedAt !== undefined);
    expect(gone?.closeReason).to.equal(EndReason.END_REASON_VIEWER_LEFT);
    // 38 bytes of link do not come back from this display; two texts of 36 do.
    expect(gone?.bytesToViewer).to.equal(72n);
    await deployment.sessionShows(
      viewer,
      ({ channels }) =>
        channels.some(({ bytesToViewer, closedAt }) => closedAt === undefined && bytesToViewer === 108n),
      "the bytes of the channel that stayed",
    );
    await echoes(main);
    const again = await join({ type: SPICE_CHANNEL.inputs, connectionId: 1 });
    expect(await postToken(deployment.proxy, token)).to.have.property("status", 201);
    for (const socket of [again, main]) await socket.close();
  }

  it("and they go on, nobody else comes in, and what happened is written when it is back", async () => {
    postgres.kill("SIGKILL");
    await refusesNewcomers(AT_ONCE_MS);
    await echoes(main);
    await echoes(inputs);
    await inputs.close();
    await echoes(main);
    await postgres.start();
    await isMadeGood();
  });

  it("or frozen, which is noticed in time", async () => {
    postgres.kill("SIGSTOP");
    try {
      await refusesNewcomers(FROZEN_MS);
      await refusesNewcomers(AT_ONCE_MS);
      await echoes(main);
      await echoes(inputs);
      await inputs.close();
      await echoes(main);
    } finally {
      postgres.kill("SIGCONT");
    }
    await isMadeGood();
  });
});
