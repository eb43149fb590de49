// SPDX-License-Identifier: Apache-2.0
// What is kept of a token, until when it is one, and what it says of itself.
import { expect } from "chai";
import { dumpDatabase } from "../../harness/database-dump.js";
import { hashOf } from "../../harness/deployment.js";
import type { ScriptedInstance } from "./nova-world.js";
import { withAndWithoutLegacy } from "./nova-world.js";

const EXPIRES =
  "update console_auth_tokens set expires = floor(extract(epoch from now()))::bigint + $2 where token_hash = $1";

describe("06 a token is stored as its hash", () => {
  withAndWithoutLegacy((world) => {
    it("the row holds the SHA-256 of it, and the database holds it nowhere in plain", async () => {
      const { uuid } = await world().scripted();
      const token = await world().issue(uuid);
      const rows = await world().sql(
        "select instance_uuid, console_type, host, port, tls_port from console_auth_tokens where token_hash = $1",
        [hashOf(token)],
      );
      const host = "127.0.0.1";
      expect(rows).to.deep.equal([
        { instance_uuid: uuid, console_type: "spice-html5", host, port: 5900, tls_port: 5901 },
      ]);
      expect(await dumpDatabase(world().deployment.databaseUrl))
        .to.include(hashOf(token))
        .and.not.include(token);
    });
  });
});

describe("07 in the second named by `expires` a token is over", () => {
  withAndWithoutLegacy((world) => {
    let instance: ScriptedInstance;
    before(async () => {
      instance = await world().scripted();
    });

    /** A token that expires so many seconds after the second that is now. */
    const expiringIn = async (seconds: number): Promise<string> => {
      const token = await world().issue(instance.uuid);
      await world().sql(EXPIRES, [hashOf(token), seconds]);
      return token;
    };

    it("it opens nothing and stands for nothing in that second, and does in the ones before", async () => {
      const over = await expiringIn(0);
      expect(await world().lookup(over)).to.equal("TOKEN_NOT_FOUND");
      // The purge may have been quicker, and then nothing is known of it.
      expect(await world().redeem(over)).to.be.oneOf(["TOKEN_EXPIRED", "TOKEN_INVALID"]);
      const before = await expiringIn(30);
      expect(await world().lookup(before)).to.have.property("instanceUuid", instance.uuid);
      expect(await world().redeem(before)).to.equal("OK");
    });

    it("the time is fixed when it is issued: neither a lookup nor another token moves it", async () => {
      const token = await expiringIn(60);
      const read = (): Promise<readonly Record<string, unknown>[]> =>
        world().sql("select expires from console_auth_tokens where token_hash = $1", [hashOf(token)]);
      const fixed = await read();
      await world().lookup(token);
      await world().issue(instance.uuid);
      expect(await read()).to.deep.equal(fixed);
    });
  });
});
