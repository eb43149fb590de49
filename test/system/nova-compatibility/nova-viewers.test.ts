// SPDX-License-Identifier: Apache-2.0
// Viewers made for Nova's proxy: bare WebSockets with a token, as Debian's spice-html5 opens them. More of them is in
// compat-tokens.test.ts, among that ten thousand different Host values leave no memory behind.
import { expect } from "chai";
import { request } from "node:http";
import { ListSessionsRequest } from "../../../proto/gen/spicegate/session/v1/session.js";
import { hashOf } from "../../harness/deployment.js";
import { callUnary } from "../../harness/grpc-client.js";
import { responseOf } from "../../harness/inventory-calls.js";
import { join, readConnectionId, SPICE_CHANNEL } from "../../harness/spice-wire.js";
import { refusalOf, ViewerSocket } from "../../harness/viewer.js";
import { within } from "../../harness/within.js";
import { TRUSTED_PROXY, withAndWithoutLegacy } from "./nova-world.js";

const { main, inputs, display, cursor } = SPICE_CHANNEL;
const CHANNELS = 7;
const ALLOWED = "dashboard.example";

/** The headers of a WebSocket's handshake, without those a test is about. */
const HANDSHAKE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  "sec-websocket-protocol": "binary",
};

describe("08 one URL, all channels, for viewers made for Nova", () => {
  withAndWithoutLegacy(
    (world) => {
      it("the same token opens seven channels, which are one session", async () => {
        const { proxy, session } = world().deployment;
        const { uuid: instanceUuid } = await world().machine();
        const token = await world().issue(instanceUuid);
        const enter = (): Promise<ViewerSocket> => ViewerSocket.open(`ws://${proxy}/websockify?token=${token}`, {});
        const [first, ...others] = await Promise.all(Array.from({ length: CHANNELS }, enter));
        await join(first!, { type: main });
        const connectionId = await readConnectionId(first!);
        for (const [at, type] of [inputs, display, cursor].entries()) await join(others[at]!, { type, connectionId });
        const list = session.listSessions.bind(session);
        const { sessions } = responseOf(await callUnary(list, ListSessionsRequest.fromPartial({ instanceUuid })));
        expect(sessions.filter(({ openChannels }) => openChannels === CHANNELS)).to.have.length(1);
        for (const socket of [...others, first!]) await socket.close();
      });
    },
    { compat: true },
  );
});

describe("12 where the page may come from", () => {
  withAndWithoutLegacy(
    (world) => {
      let token: string;
      before(async () => {
        token = await world().issue((await world().machine()).uuid);
      });

      /** What a handshake with these headers is answered: 101 where it is let in. */
      const answer = (headers: Readonly<Record<string, string>>, from = "127.0.0.1"): Promise<number> => {
        const [host, port] = world().deployment.proxy.split(":");
        const path = `/websockify?token=${token}`;
        const status = new Promise<number>((resolve, reject) => {
          const call = request({ host, port, path, localAddress: from, headers: { ...HANDSHAKE, ...headers } });
          call.on("upgrade", (_response, socket) => {
            socket.destroy();
            resolve(101);
          });
          call.on("response", (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          });
          call.on("error", reject);
          call.end();
        });
        return within("an answer to the handshake", status, 10_000);
      };
      const setBase = (base: string): Promise<unknown> =>
        world().sql("update console_auth_tokens set access_url_base = $2 where token_hash = $1", [hashOf(token), base]);

      it("none at all is no browser; the same host is ours; any other is not", async () => {
        const { proxy } = world().deployment;
        expect(await answer({})).to.equal(101);
        expect(await answer({ origin: `http://${proxy}` })).to.equal(101);
        for (const origin of [
          "http://evil.example",
          "null",
          "http://",
          "://",
          "evil",
          `http://${proxy}.evil.example`,
        ]) {
          expect(await answer({ origin }), origin).to.equal(403);
        }
      });

      it("a listed origin is let in, whole: Nova's rule looks at its host alone", async () => {
        expect(await answer({ origin: `http://${ALLOWED}` })).to.equal(101);
        expect(await answer({ origin: `http://${ALLOWED}:8080` })).to.equal(403);
        // The same host on another port is another origin; Nova compares no ports.
        expect(await answer({ origin: "http://127.0.0.1:1" })).to.equal(403);
      });

      it("IPv6 with a port is compared like any other host", async () => {
        const host = "[::1]:6082";
        expect(await answer({ host, origin: `http://${host}` })).to.equal(101);
        expect(await answer({ host, origin: "http://[::2]:6082" })).to.equal(403);
      });

      it("the scheme must be that of the console's URL; ws admits http and wss admits https", async () => {
        const [plain, secure] = [`http://${ALLOWED}`, `https://${ALLOWED}`];
        for (const [base, admitted, refused] of [
          ["http://h/x", plain, secure],
          ["ws://h/x", plain, secure],
          ["https://h/x", secure, plain],
          ["wss://h/x", secure, plain],
        ] as const) {
          await setBase(base);
          expect(await answer({ origin: admitted }), `${admitted} for ${base}`).to.equal(101);
          expect(await answer({ origin: refused }), `${refused} for ${base}`).to.equal(403);
        }
      });

      it("X-Forwarded-Proto is believed from a trusted balancer alone", async () => {
        await setBase("https://h/x");
        const { proxy } = world().deployment;
        const headers = { origin: `https://${proxy}`, "x-forwarded-proto": "https", "x-forwarded-host": proxy };
        expect(await answer(headers, TRUSTED_PROXY)).to.equal(101);
        expect(await answer(headers)).to.equal(403);
      });
    },
    { compat: true },
  );
});

describe("13 where the token may stand", () => {
  withAndWithoutLegacy(
    (world) => {
      let token: string;
      before(async () => {
        token = await world().issue((await world().machine()).uuid);
      });

      const enter = async (path: string, cookie?: string): Promise<ViewerSocket> => {
        const headers: Record<string, string> = cookie === undefined ? {} : { cookie };
        return ViewerSocket.open(`ws://${world().deployment.proxy}${path}`, headers);
      };

      it("in the query, or in a cookie; of both the query wins", async () => {
        await (await enter(`/websockify?token=${token}`)).close();
        await (await enter("/websockify", `token=${token}`)).close();
        await (await enter(`/websockify?token=${token}`, "token=other")).close();
        const { body } = await refusalOf(enter("/websockify?token=other", `token=${token}`));
        expect(body).to.include({ reason: "TOKEN_INVALID" });
      });

      it("of several in the query the last one counts, and an empty one is none", async () => {
        await (await enter(`/websockify?token=other&token=${token}`)).close();
        await (await enter("/websockify?token=", `token=${token}`)).close();
        const { status } = await refusalOf(enter("/websockify"));
        expect(status).to.equal(401);
      });

      it("a malformed cookie beside a good one does no harm", async () => {
        await (await enter("/websockify", `broken; =x; a="b; token=${token}`)).close();
        await (await enter("/websockify", `token=${token}; b[]={"\\`)).close();
      });
    },
    { compat: true },
  );
});
