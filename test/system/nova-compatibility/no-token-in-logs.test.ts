// SPDX-License-Identifier: Apache-2.0
// Every way in which a token comes to a program or leaves it, and then the programs' whole logs, which the worlds of
// these groups keep at the most talkative level. The end of each world looks again, and at the database too.
import { expect } from "chai";
import { randomBytes, randomUUID } from "node:crypto";
import { callUnary } from "../../harness/grpc-client.js";
import { consoleUrlOf } from "../../harness/rest-client.js";
import { postToken, tokenOf, ViewerSocket } from "../../harness/viewer.js";
import type { NovaWorld } from "./nova-world.js";
import { withAndWithoutLegacy } from "./nova-world.js";

/** So much of a token in a log would be enough to recognize it by. */
const RECOGNIZABLE = 8;

/** What nobody issued, but somebody may bring; and its like in an address. */
function stray(): string {
  return randomBytes(32).toString("base64url");
}

/** Brings a token to every entrance, however that ends. */
async function bringEverywhere({ deployment }: NovaWorld, token: string): Promise<void> {
  const { proxy, rest, gateway, console } = deployment;
  const ignore = (): undefined => undefined;
  await callUnary(console.lookupConsoleToken.bind(console), { token });
  await rest.lookup(token);
  await rest.lookup(token, { version: "2.99", query: `?token=${token}` });
  await rest.get(`/v2.1/no-such-address/${token}?token=${token}`);
  await fetch(`http://${gateway}/v2.1/servers?token=${token}`, { headers: { "x-auth-token": token } });
  await fetch(`http://${proxy}/spice_auto.html?token=${token}`, { headers: { referer: `http://h/?token=${token}` } });
  await fetch(`http://${proxy}/${token}?token=${token}`, { headers: { cookie: `token=${token}` } });
  for (const [path, headers] of [
    [`/websockify?token=${token}`, {}],
    ["/websockify", { cookie: `token=${token}` }],
    [`/websockify?token=${token}`, { origin: "http://evil.example" }],
    [`/s/${token}/channel?token=${token}`, {}],
  ] as const) {
    await ViewerSocket.open(`ws://${proxy}${path}`, headers).then((socket) => socket.close(), ignore);
  }
  await postToken(proxy, token);
  await postToken(proxy, token);
}

describe("17 no log line at any level contains a token", () => {
  for (const compat of [false, true]) {
    withAndWithoutLegacy(
      (world) => {
        it("whichever way it was issued and wherever it was brought", async () => {
          const { deployment } = world();
          const { uuid } = await world().machine();
          const { rest } = deployment;
          const tokens = [
            stray(),
            await world().issue(uuid),
            await world().issue(uuid, "spice-direct"),
            tokenOf(consoleUrlOf(await rest.legacyConsole(uuid))),
            tokenOf(consoleUrlOf(await rest.remoteConsole(uuid, { type: "spice-direct", version: "2.99" }))),
          ];
          for (const token of tokens) await bringEverywhere(world(), token);
          // When the last call is in the log, so is what came before it.
          const requestId = `nova-${randomUUID()}`;
          await deployment.getConsole(uuid, { headers: { "x-request-id": requestId } });
          await deployment.logged({ requestId, msg: "call served" });
          const logs = deployment.logs();
          expect(logs).to.include("/os-console-auth-tokens/").and.include("request served");
          for (const token of tokens) expect(logs.includes(token.slice(0, RECOGNIZABLE))).to.equal(false);
        });
      },
      { compat },
    );
  }
});
