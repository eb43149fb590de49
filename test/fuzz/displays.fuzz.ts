// SPDX-License-Identifier: Apache-2.0
// What comes to the tunnels' port, and what an intermediary on the way to a display answers.
import { expect } from "chai";
import fc from "fast-check";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { connectThrough } from "../../src/displays/connect-through.js";
import { TunnelListener } from "../../src/displays/tunnel-listener.js";
import { MAX_CONNECT_ANSWER_BYTES } from "../../src/lib/limits.js";
import { FakeLog } from "../fakes/fake-log.js";
import { within } from "../harness/within.js";
import type { FuzzTarget } from "./fuzz-target.js";
import { exchange, httpRequest } from "./http-exchange.js";
import { mostly, spoilt, withOddities, wordSalad } from "./mutations.js";

const MOST_MS = 5_000;
const WRONG = "s".repeat(43);
const log = new FakeLog();
const listener = new TunnelListener({ listen: { host: "127.0.0.1", port: 0 }, log: log.log });

const request = fc.record({
  method: mostly("GET", "GET", "POST", "CONNECT"),
  target: mostly("/tunnel", "/tunnel", "/tunnel?", "/TUNNEL", "//tunnel", "/"),
  headers: withOddities(
    fc.record({
      connection: mostly("Upgrade").map((tokens) => `${tokens}, close`),
      upgrade: mostly("spicegate-tunnel"),
      "x-spicegate-tunnel-secret": mostly("SECRET", "SECRET", "SECRET", WRONG, "", "SECRET, SECRET", "secret"),
    }),
    fc.record(
      { upgrade: mostly("websocket"), host: fc.string(), "x-padding": fc.string({ minLength: 9_000 }) },
      {
        requiredKeys: [],
      },
    ),
  ),
  body: fc.string(),
});

type Asked = typeof request extends fc.Arbitrary<infer R> ? R : never;

/** Only who brings the secret of a display that is waited for, in the one right form, gets to be its tunnel. */
async function knock({ headers, ...rest }: Asked): Promise<void> {
  const gaveUp = new AbortController();
  const expected = listener.expect({ host: "host-1", ms: MOST_MS, signal: gaveUp.signal });
  const arrived = expected.arrived.then(
    (socket) => socket.destroy(),
    () => undefined,
  );
  const given = headers["x-spicegate-tunnel-secret"];
  const secret = given.replaceAll("SECRET", expected.secret);
  const bytes = httpRequest({ ...rest, headers: { ...headers, "x-spicegate-tunnel-secret": secret } });
  const answer = await within("an answer", exchange(expected.address, bytes), MOST_MS);
  gaveUp.abort();
  await within("the end of the wait", arrived, MOST_MS);
  if (answer?.status === 101) expect([rest.method, given.trim()]).to.deep.equal(["GET", "SECRET"]);
  else if (answer) expect(answer.status).to.be.within(400, 499);
  expect(listener.waitingTunnels).to.equal(0);
  expect(log.at("error")).to.deep.equal([]);
}

const answer = fc.oneof(
  {
    weight: 2,
    arbitrary: spoilt(
      fc
        .tuple(mostly("200 OK", "200", "200 Connection established", "2000", "407 No"), fc.string(), fc.uint8Array())
        .map(([line, header, rest]) => Buffer.concat([Buffer.from(`HTTP/1.1 ${line}\r\nA: ${header}\r\n\r\n`), rest])),
    ),
  },
  wordSalad(["HTTP/1.", "1", "0", " ", "200", "\r\n", "\r\n\r\n", "\n\n"]).map((text) => Buffer.from(text)),
  fc.nat({ max: 2 * MAX_CONNECT_ANSWER_BYTES }).map((length) => Buffer.alloc(length, "x")),
);
const sizes = fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 1, maxLength: 6 });

/** Takes an answer in pieces: true, and every byte after it is still to be read; or an Error. */
async function answered(bytes: Buffer, pieces: readonly number[]): Promise<void> {
  const chunks: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = pieces[turn % pieces.length] ?? 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  const wire = new Duplex({
    allowHalfOpen: false,
    write: (_chunk, _encoding, done) => done(),
    read: () => void wire.push(chunks.shift() ?? null),
  });
  const end = bytes.indexOf("\r\n\r\n");
  const good =
    end !== -1 && end + 4 <= MAX_CONNECT_ANSWER_BYTES && /^HTTP\/1\.[01] 200[ \r]/.test(bytes.toString("latin1"));
  const taken = await connectThrough(wire as unknown as Socket, "/path").then(
    () => true,
    (error: unknown) => (expect(error).to.be.instanceOf(Error), false),
  );
  expect(taken).to.equal(good);
  if (!taken) return;
  const rest: Buffer[] = [];
  for await (const chunk of wire) rest.push(chunk as Buffer);
  expect(Buffer.concat(rest).equals(bytes.subarray(end + 4))).to.equal(true);
}

/** No stranger becomes a display's tunnel, every knock is answered soon, and an intermediary's answer is taken for what it is. */
export const target: FuzzTarget = {
  runs: 200,
  property: fc.asyncProperty(request, answer, sizes, async (asked, bytes, pieces) => {
    await knock(asked);
    await within("the answer to CONNECT", answered(bytes, pieces), MOST_MS);
  }),
  start: () => listener.start(),
  stop: () => listener.stop(),
};
