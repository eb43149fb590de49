// SPDX-License-Identifier: Apache-2.0
// The viewers of the data path.
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { WebSocket } from "ws";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import { Viewer } from "../harness/viewer.js";
import { announceReady } from "./bench-process.js";
import { percentile } from "./statistics.js";
import type { ViewerRequest, ViewerResult, ViewerTarget } from "./viewer-load.js";

/** One open channel. */
interface Channel {
  readonly onData: (listener: (chunk: Buffer) => void) => void;
  /** Sends CHUNK, and resolves once more may be sent. */
  readonly sendChunk: () => Promise<void>;
  readonly close: () => void;
}

type Open = (type: number, connectionId?: number) => Promise<Channel>;

const CHUNK = Buffer.alloc(64 * 1024, 1);
const FRAME_HEADER_BYTES = 14;
/** Not zero, which servers need not unmask. */
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);
/** Made once: what the generator spends on masking the same bytes again and again, the ways that are measured would lack. */
const CHUNK_MESSAGE = maskedMessage(CHUNK);
const WARM_UP_MS = 200;
const held: Channel[] = [];
let tokensUsed = 0;
let portsUsed = 0;

process.on("disconnect", () => process.exit());
process.on("message", (request: ViewerRequest) => {
  const nothing = { failure: "", elapsedMs: 0, received: 0, opened: 0, p50: 0, p95: 0 };
  run(request).then(
    (result) => process.send?.({ ...nothing, ...result }),
    (error: unknown) => process.send?.({ ...nothing, failure: String(error) }),
  );
});
announceReady();

function run(request: ViewerRequest): Promise<Partial<ViewerResult>> {
  switch (request.kind) {
    case "transfer":
      return transfer(request);
    case "open":
      return open(request);
    case "hold":
      return hold(request);
  }
}

async function transfer(request: ViewerRequest & { kind: "transfer" }): Promise<Partial<ViewerResult>> {
  const { target, direction, channels: count, ms } = request;
  const openChannel = await opener(target);
  const channels: Channel[] = [];
  const main = target.kind === "session" ? await openChannel(SPICE_CHANNEL.main) : undefined;
  let received = 0;
  for (let index = 0; index < count; index += 1) {
    const type = direction === "down" ? SPICE_CHANNEL.display : SPICE_CHANNEL.inputs;
    const channel = await openChannel(type, target.kind === "session" ? 1 : 0);
    channel.onData((chunk) => (received += chunk.length));
    channels.push(channel);
  }
  let stopped = false;
  const begin = performance.now();
  const senders = direction === "up" ? channels.map((channel) => sendUntil(channel, () => stopped)) : [];
  // What goes up is counted where it arrives, from the first byte on.
  if (direction === "down") await wait(WARM_UP_MS);
  const [from, before] = [direction === "down" ? performance.now() : begin, received];
  await wait(ms);
  const result = { elapsedMs: performance.now() - from, received: received - before };
  stopped = true;
  for (const channel of [...channels, ...(main ? [main] : [])]) channel.close();
  await Promise.allSettled(senders);
  return result;
}

async function sendUntil(channel: Channel, stopped: () => boolean): Promise<void> {
  while (!stopped()) await channel.sendChunk();
}

async function open({ target, count, atOnce }: ViewerRequest & { kind: "open" }): Promise<Partial<ViewerResult>> {
  const took: number[] = [];
  const from = performance.now();
  let running = 0;
  const one = async (): Promise<void> => {
    while (took.length + running < count) {
      running += 1;
      const asked = performance.now();
      const channel = await (await opener(target))(SPICE_CHANNEL.main);
      await new Promise<void>((resolve) => channel.onData(() => resolve()));
      took.push(performance.now() - asked);
      running -= 1;
      channel.close();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  const elapsedMs = performance.now() - from;
  return { elapsedMs, opened: took.length, p50: percentile(took, 50), p95: percentile(took, 95) };
}

async function hold({ target, channelsEach }: ViewerRequest & { kind: "hold" }): Promise<Partial<ViewerResult>> {
  const sessions = target.kind === "session" ? target.tokens.length : 1;
  for (let session = 0; session < sessions; session += 1) {
    const openChannel = await opener(target);
    const main = await openChannel(SPICE_CHANNEL.main);
    await new Promise<void>((resolve) => main.onData(() => resolve()));
    held.push(main);
    for (let index = 1; index < channelsEach; index += 1) held.push(await openChannel(SPICE_CHANNEL.cursor, 1));
  }
  return { opened: held.length };
}

/** The way to open channels of one target; for sessions, of a new one. */
async function opener(target: ViewerTarget): Promise<Open> {
  switch (target.kind) {
    case "tcp":
      return (type) => openTcp(target.ports[portsUsed++ % target.ports.length] ?? 0, clientLink({ type }));
    case "websocket":
      return (type) => openWebSocket(target.url, {}, clientLink({ type }));
    case "session": {
      const { cookie, sessionId } = await Viewer.open(
        target.proxy,
        target.tokens[tokensUsed++ % target.tokens.length] ?? "",
      );
      const url = `ws://${target.proxy}/s/${sessionId}/channel`;
      return (type, connectionId) =>
        openWebSocket(url, { cookie }, clientLink({ type, connectionId: connectionId ?? 0 }));
    }
  }
}

async function openTcp(port: number, link: Buffer): Promise<Channel> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  socket.on("error", () => socket.destroy());
  socket.write(link);
  const sendChunk = (): Promise<void> => taken(socket, CHUNK);
  return { onData: (listener) => void socket.on("data", listener), sendChunk, close: () => socket.destroy() };
}

async function openWebSocket(url: string, headers: Record<string, string>, link: Buffer): Promise<Channel> {
  const webSocket = new WebSocket(url, ["binary"], { headers, perMessageDeflate: false, skipUTF8Validation: true });
  const [[{ socket }]] = (await Promise.all([once(webSocket, "upgrade"), once(webSocket, "open")])) as [
    [IncomingMessage],
    unknown,
  ];
  webSocket.on("error", () => webSocket.terminate());
  webSocket.send(link);
  const sendChunk = (): Promise<void> => taken(socket, CHUNK_MESSAGE);
  const onData = (listener: (chunk: Buffer) => void): void => void webSocket.on("message", listener);
  return { onData, sendChunk, close: () => webSocket.terminate() };
}

/** Writes, and resolves when more may be written, or the connection is gone. */
async function taken(socket: Socket, bytes: Buffer): Promise<void> {
  if (socket.destroyed || socket.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      socket.off("drain", done).off("close", done);
      resolve();
    };
    socket.on("drain", done).on("close", done);
  });
}

/** The bytes as one masked message (RFC 6455, 5.2). */
function maskedMessage(bytes: Buffer): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + bytes.length);
  frame.writeUInt16BE(0x82ff);
  frame.writeBigUInt64BE(BigInt(bytes.length), 2);
  MASK.copy(frame, FRAME_HEADER_BYTES - MASK.length);
  bytes.forEach((byte, index) => (frame[FRAME_HEADER_BYTES + index] = byte ^ (MASK[index % MASK.length] ?? 0)));
  return frame;
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
