// SPDX-License-Identifier: Apache-2.0
// Tokens are opened: how often, for which display, by which viewer and for how long.
import { expect } from "chai";
import { hashOf } from "../../harness/deployment.js";
import { SPICE_CHANNEL } from "../../harness/spice-wire.js";
import { Viewer } from "../../harness/viewer.js";
import { withAndWithoutLegacy } from "./nova-world.js";

const { inputs, display, cursor } = SPICE_CHANNEL;

describe("08 one URL, all channels", () => {
  withAndWithoutLegacy((world) => {
    it("natively the second redemption fails, and the channels of the session go on and come", async () => {
      const { uuid } = await world().machine();
      const token = await world().issue(uuid);
      const viewer = await Viewer.open(world().deployment.proxy, token);
      const { main, connectionId } = await viewer.joinMain();
      expect(await world().redeem(token)).to.equal("TOKEN_USED");
      const more = [];
      for (const type of [display, inputs, cursor]) more.push(await viewer.join(type, connectionId));
      for (const socket of [...more, main]) await socket.close();
    });
  });
});

describe("10 a port that has changed since", () => {
  withAndWithoutLegacy((world) => {
    it("refuses the token, and says that it was the display; with the old port back it opens", async () => {
      const { uuid, script } = await world().scripted();
      const token = await world().issue(uuid);
      const { endpoint } = script;
      script.endpoint = { ...endpoint, port: endpoint.port + 2 };
      expect(await world().redeem(token)).to.equal("TARGET_CHANGED");
      // Nova compares the plain port only.
      script.endpoint = { ...endpoint, tlsPort: endpoint.tlsPort + 2 };
      expect(await world().redeem(token)).to.equal("TARGET_CHANGED");
      script.endpoint = endpoint;
      expect(await world().redeem(token)).to.equal("OK");
    });

    it("is seen by a real agent on a real display", async () => {
      const { uuid } = await world().machine();
      const token = await world().issue(uuid);
      await world().sql("update console_auth_tokens set port = port + 1 where token_hash = $1", [hashOf(token)]);
      expect(await world().redeem(token)).to.equal("TARGET_CHANGED");
    });
  });
});

describe("11 a token of another console type", () => {
  withAndWithoutLegacy((world) => {
    it("is refused at the SPICE listener, where Nova opens it; and is not used up", async () => {
      const { uuid } = await world().scripted();
      const token = await world().issue(uuid);
      const setType = (type: string): Promise<unknown> =>
        world().sql("update console_auth_tokens set console_type = $2 where token_hash = $1", [hashOf(token), type]);
      await setType("novnc");
      expect(await world().redeem(token)).to.equal("CONSOLE_TYPE_INVALID");
      await setType("spice-html5");
      expect(await world().redeem(token)).to.equal("OK");
    });

    it("so is one for a native proxy", async () => {
      const { uuid } = await world().scripted();
      expect(await world().redeem(await world().issue(uuid, "spice-direct"))).to.equal("CONSOLE_TYPE_INVALID");
    });
  });
});

describe("15 enforce_session_timeout", () => {
  withAndWithoutLegacy((world) => {
    it("cuts all channels once, when the token would have expired, and says why", async () => {
      const { uuid } = await world().machine();
      const token = await world().issue(uuid);
      await world().sql(
        "update console_auth_tokens set expires = extract(epoch from now())::bigint + 3 where token_hash = $1",
        [hashOf(token)],
      );
      const viewer = await Viewer.open(world().deployment.proxy, token);
      const { main, connectionId } = await viewer.joinMain();
      const channels = [main, await viewer.join(inputs, connectionId), await viewer.join(display, connectionId)];
      const ends = await Promise.all(channels.map((channel) => channel.ends(10_000)));
      for (const end of ends) expect(end).to.deep.equal({ code: 4005, reason: "SESSION_EXPIRED" });
      expect(await viewer.status()).to.deep.equal({ state: "ended", reason: "SESSION_EXPIRED" });
    });
  });
});
