// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { PassThrough } from "node:stream";
import { giveBack, withBigReads } from "../../../src/lib/big-reads.js";
import { BIG_READ_BYTES, SMALL_READ_BYTES } from "../../../src/lib/limits.js";
import { until, within } from "../../harness/within.js";

describe("withBigReads", () => {
  let server: Server;
  let peers: Socket[];
  let mine: Socket[];

  beforeEach(async () => {
    peers = [];
    mine = [];
    server = createServer((peer) => void peers.push(peer));
    await once(server.listen(0, "127.0.0.1"), "listening");
  });

  afterEach(async () => {
    for (const socket of [...mine, ...peers]) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  /** Both ends of a connection. */
  async function pair(): Promise<readonly [Socket, Socket]> {
    const { port } = server.address() as AddressInfo;
    const socket = withBigReads((onread) => connect({ port, host: "127.0.0.1", onread }));
    mine.push(socket);
    await once(socket, "connect");
    await until("the other end", () => peers.length === mine.length);
    return [socket, peers.at(-1)!];
  }

  it("gives out what came, in its order, to each of several that read by turns", async () => {
    const sent = Array.from({ length: 3 }, () => randomBytes(20 * BIG_READ_BYTES + 1));
    const pairs = [await pair(), await pair(), await pair()];
    const hashes = pairs.map(async ([socket, peer], index) => {
      const bytes = sent[index]!;
      peer.end(bytes);
      const hash = createHash("sha256");
      for await (const chunk of socket) hash.update(chunk as Buffer);
      expect(hash.digest("hex")).to.equal(createHash("sha256").update(bytes).digest("hex"));
    });
    await within("all bytes", Promise.all(hashes));
  });

  it("reads more at a time than Node does while much comes", async () => {
    const [socket, peer] = await pair();
    const filler = Buffer.alloc(4 * 1024 * 1024);
    const flood = (): void => {
      while (!peer.destroyed && peer.write(filler));
    };
    peer.on("drain", flood).on("error", () => undefined);
    flood();
    let longest = 0;
    socket.on("data", ({ length }: Buffer) => (longest = Math.max(longest, length)));
    await until("a long read", () => longest > 2 * SMALL_READ_BYTES);
  });

  it("reads into what was given back, and gives out nothing that is still in use", async () => {
    const sent = randomBytes(64 * BIG_READ_BYTES);
    const [socket, peer] = await pair();
    const memories = new Set<ArrayBufferLike>();
    const held: Buffer[] = [];
    let seen = 0;
    let large = 0;
    socket.on("data", (bytes: Buffer) => {
      if (bytes.buffer.byteLength === BIG_READ_BYTES) {
        large += 1;
        memories.add(bytes.buffer);
      }
      held.push(bytes);
      // The last few are still in use, as on a connection that takes its time.
      if (held.length > 3) {
        const oldest = held.shift()!;
        expect(oldest.equals(sent.subarray(seen, seen + oldest.length))).to.equal(true);
        seen += oldest.length;
        giveBack(oldest);
        giveBack(oldest);
      }
    });
    peer.end(sent);
    await within("the end", once(socket, "close"));
    for (const bytes of held) {
      expect(bytes.equals(sent.subarray(seen, seen + bytes.length))).to.equal(true);
      seen += bytes.length;
    }
    expect(seen).to.equal(sent.length);
    expect(large).to.be.greaterThan(16);
    expect(memories.size).to.be.lessThan(large / 2);
  });

  it("never shows one connection what came on another, however they take turns and hold back", async function () {
    this.timeout(20_000);
    const SIZE = 6 * BIG_READ_BYTES + 777;
    const run = async ([socket, peer]: readonly [Socket, Socket], index: number): Promise<number> => {
      const sent = randomBytes(SIZE);
      peer.end(sent);
      const held: Buffer[] = [];
      let seen = 0;
      /** What is in use still has to be what came on this connection, once others have read in the meantime. */
      const release = (): void => {
        const oldest = held.shift();
        if (!oldest) return;
        if (!oldest.equals(sent.subarray(seen, seen + oldest.length))) throw new Error(`bytes of others at ${seen}`);
        seen += oldest.length;
        giveBack(oldest);
        if (index % 2 === 0) giveBack(oldest);
      };
      let reads = 0;
      for await (const bytes of socket) {
        held.push(bytes as Buffer);
        reads += 1;
        // Each at its own pace: some hold much, some are held back.
        if (held.length > index % 5) release();
        if (reads % 3 === index % 3) await new Promise((resolve) => setImmediate(resolve));
      }
      while (held.length > 0) release();
      return seen;
    };
    const pairs: (readonly [Socket, Socket])[] = [];
    while (pairs.length < 64) pairs.push(await pair());
    const seen = await within("all bytes", Promise.all(pairs.map(run)), 15_000);
    expect(new Set(seen)).to.deep.equal(new Set([SIZE]));
  });

  it("takes back nothing that it has not lent", () => {
    const own = Buffer.alloc(BIG_READ_BYTES, 1);
    giveBack(own);
    expect(own.every((byte) => byte === 1)).to.equal(true);
  });

  it("gives out small pieces without a large buffer behind them", async () => {
    const [socket, peer] = await pair();
    const pieces: Buffer[] = [];
    socket.on("data", (piece: Buffer) => void pieces.push(piece));
    for (const text of ["one", "two"]) {
      peer.write(text);
      await until("the piece", () => Buffer.concat(pieces).toString().endsWith(text));
    }
    expect(pieces.map(String)).to.deep.equal(["one", "two"]);
    for (const { buffer } of pieces) expect(buffer.byteLength).to.be.at.most(SMALL_READ_BYTES);
  });

  it("keeps what comes before anybody reads, holds the rest back, and takes back what was read too far", async () => {
    const [socket, peer] = await pair();
    const bytes = randomBytes(32 * 1024 * 1024);
    peer.write(bytes);
    await until("the first bytes", () => socket.readableLength > 0);
    const first = socket.read() as Buffer;
    socket.unshift(first);
    expect(socket.readableLength).to.be.below(4 * BIG_READ_BYTES);
    const through = socket.pipe(new PassThrough());
    const hash = createHash("sha256");
    let missing = bytes.length;
    for await (const chunk of through) {
      hash.update(chunk as Buffer);
      if ((missing -= (chunk as Buffer).length) === 0) break;
    }
    expect(hash.digest("hex")).to.equal(createHash("sha256").update(bytes).digest("hex"));
  });
});
