// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { EmbeddedPostgres } from "../../../demo/embedded-postgres.js";
import { waitUntil } from "../../../demo/wait-until.js";
import { migrate } from "../../../src/db/migrate.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import type { SessionWithChannels } from "../../../src/sessions/session.js";
import { authorize, uuidOf } from "../../harness/inventory.js";
import { rejectionOf } from "../../harness/rejection.js";
import { placeInstance, storedSession } from "../../harness/stored-sessions.js";
import { TestDatabase } from "../../harness/test-database.js";
import { ViewerParts } from "../../harness/viewer-parts.js";
import { until, within } from "../../harness/within.js";

const VM = uuidOf(1);

describe("Sessions while Postgres is away", function () {
  this.timeout(60_000);
  let server: EmbeddedPostgres;
  let db: TestDatabase;
  let parts: ViewerParts;

  before(async () => {
    server = new EmbeddedPostgres();
    await server.start();
    await migrate({ url: server.url }, silentLog);
    db = await TestDatabase.over(server.url);
    parts = new ViewerParts(db);
    parts.registry.start();
    await placeInstance(db, VM);
  });

  after(async () => {
    await parts.stop();
    await db.stop();
    await server.stop();
  });

  it("go on, let nobody else in, and are written down when it is back", async () => {
    const { token } = await authorize(db.database, VM, "a");
    const begun = await parts.redeeming.execute(token, parts.context());
    const [staying, leaving] = [await parts.channel(begun), await parts.channel(begun)];
    server.kill("SIGKILL");
    await until("Postgres to be gone", () => !db.database.isReady());
    staying.channel.toMachine(7, true);
    leaving.channel.toViewer(9);
    leaving.channel.closed("VIEWER_SILENT");
    expect(reasonOf(await rejectionOf(parts.channel(begun)))).to.equal("DATABASE_UNAVAILABLE");
    expect(parts.registry.size).to.equal(1);
    await server.start();
    const back = new Promise<void>((resolve) => {
      db.database.onReady(resolve);
    });
    await within("Postgres to be back", back, 20_000);
    const written = (): boolean => parts.lines().some(({ audit }) => audit === "channel-closed");
    await until("the end of the channel in Postgres", written, 10_000);
    const find = (): Promise<SessionWithChannels | undefined> => parts.sessions.find(begun.session.sessionId);
    // By the registry's own rounds: one may be under way, and another one would find nothing to write.
    const counted = async (): Promise<boolean> => (await find())?.channels[0]?.bytesToMachine === 7n;
    await waitUntil(counted, { ms: 10_000, what: "the bytes of the channel that stayed" });
    const found = await find();
    expect(found?.channels.map(({ closeReason }) => closeReason)).to.deep.equal([undefined, "VIEWER_SILENT"]);
    expect(found?.channels.map(({ bytesToMachine }) => bytesToMachine)).to.deep.equal([7n, 0n]);
    expect(found?.channels.map(({ bytesToViewer }) => bytesToViewer)).to.deep.equal([0n, 9n]);
    expect(found?.lastInputAt).to.be.instanceOf(Date);
    expect((await storedSession(db, begun.session)).open_channels).to.equal(1);
  });
});
