// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { Socket } from "node:net";
import { expect } from "chai";
import type { WebSocket } from "ws";
import {
  DISPLAY_BUFFER_BYTES,
  MAX_VIEWER_PIECES,
  MAX_VIEWER_MESSAGE_BYTES,
  VIEWER_BUFFER_BYTES,
  VIEWER_PING_MS,
  VIEWER_SILENT_MS,
  VIEWER_SPEAKS_MS,
} from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { SpiceViewer } from "../../../src/proxy/spice-link.js";
import type { ViewerProtocol } from "../../../src/proxy/viewer-protocol.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { Gate } from "../../harness/gate.js";
import { inputMessage, linkMessage } from "../../harness/spice-messages.js";
import { ViewerStage } from "../../harness/viewer-stage.js";
import { until, within } from "../../harness/within.js";

const LINK = linkMessage({ connectionId: 7, type: 3, number: 1, commonCaps: [1] });
const CHUNK_BYTES = 64 * 1024;
const FLOOD_CHUNKS = 1_024;
const FLOOD_BYTES = FLOOD_CHUNKS * CHUNK_BYTES;
/** A read may come on top of a bound, and the frames of one read. */
const SLACK_BYTES = 2 * CHUNK_BYTES;

/** A protocol whose server speaks first, as VNC's does. */
const SERVER_FIRST: ViewerProtocol = {
  open: (bytes) => ({ link: { connectionId: 0, type: 0, number: 0 }, bytes }),
  pass: (message) => message,
  isInput: () => false,
};

/** 64 MiB of which every chunk is different, so that a lost or displaced one shows. */
function* flood(): Generator<Buffer> {
  for (let index = 0; index < FLOOD_CHUNKS; index += 1) {
    const chunk = Buffer.alloc(CHUNK_BYTES, index % 251);
    chunk.writeUInt32LE(index, 0);
    yield chunk;
  }
}

function refuse(): never {
  throw new ServiceError("INVALID_ARGUMENT", "no");
}

/** Lets everything happen that can happen now. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 300; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe("runViewer", () => {
  let stage: ViewerStage;

  beforeEach(async () => {
    stage = new ViewerStage();
    await stage.start();
  });

  afterEach(() => stage.stop());

  /** A viewer whose display is open, with the link on its way there. */
  async function arriveAndOpen(options: { readonly autoPong?: boolean } = {}): Promise<WebSocket> {
    const client = await stage.arrive(options);
    client.send(LINK);
    await until("the link at the display", () => stage.display.length === LINK.length);
    return client;
  }

  async function expectEnd(reason: string): Promise<void> {
    await within("the pump's end", stage.running);
    expect(stage.channel.ends).to.deep.equal([reason]);
    expect(stage.clock.waiting, "timers left").to.equal(0);
    if (stage.dialled) expect(stage.dialled.destroyed, "the display is closed").to.equal(true);
  }

  it("opens the display that the link names, hands on the link and what came with it, and carries both ways", async () => {
    const client = await stage.arrive();
    client.send(Buffer.concat([LINK, Buffer.from("ticket")]));
    await until("the ticket", () => stage.display.bytes.equals(Buffer.concat([LINK, Buffer.from("ticket")])));
    expect(stage.channel.links).to.deep.equal([{ connectionId: 7, type: 3, number: 1 }]);
    stage.displaySocket?.write("pixels");
    await until("the pixels", () => stage.viewer.bytes.toString() === "pixels");
    client.send(inputMessage(101));
    client.send(inputMessage(1));
    await until("the key", () => stage.display.length === LINK.length + 26);
    const { bytesToMachine, bytesToViewer, inputs } = stage.channel;
    expect({ bytesToMachine, bytesToViewer, inputs }).to.deep.equal({
      bytesToMachine: LINK.length + 26,
      bytesToViewer: 6,
      inputs: 1,
    });
  });

  it("hands on what the protocol lets pass, also of what comes before the display is open", async () => {
    const opened = new Gate();
    stage.channel.opens = async () => {
      await opened.passed;
      return stage.dial();
    };
    stage.protocol = { ...SERVER_FIRST, pass: (message) => Buffer.from(message.filter((byte) => byte !== 0x78)) };
    const client = await stage.arrive();
    client.send(Buffer.from("xax"));
    client.send(Buffer.from("xxx"));
    await until("what came early", () => stage.channel.links.length === 1);
    opened.open();
    client.send(Buffer.from("bxc"));
    await until("what is left", () => stage.display.bytes.toString() === "abc");
    expect(stage.channel.bytesToMachine).to.equal(3);
  });

  it("ends a viewer whose message the protocol refuses, and hands nothing of it on", async () => {
    const protocol = { ...SERVER_FIRST, pass: refuse };
    stage.protocol = protocol;
    const client = await stage.arrive();
    client.send(Buffer.from("no"));
    expect(await stage.goodbye()).to.deep.equal({ code: 4400, reason: "INVALID_ARGUMENT" });
    await expectEnd("REFUSED");
    expect(stage.display.length).to.equal(0);
  });

  it("takes a link in frames of one byte, empty ones between", async () => {
    const client = await stage.arrive();
    for (const byte of LINK) {
      client.send(Buffer.from([byte]));
      client.send(Buffer.alloc(0));
    }
    await until("the link", () => stage.display.bytes.equals(LINK));
  });

  it("loses nothing of a server that speaks first, at once and while the display is still being handed over", async () => {
    const hello = Buffer.from("RFB 003.008\n");
    const handOver = new Gate();
    stage.protocol = SERVER_FIRST;
    stage.greet = (display) => display.write(hello);
    stage.channel.opens = async () => {
      const display = await stage.dial();
      await handOver.passed;
      return display;
    };
    const client = await stage.arrive();
    // Not before: its words would start the connection as well.
    await until("the question", () => stage.channel.links.length === 1);
    client.send(Buffer.from("early"));
    await until("the greeting in the kernel", () => (stage.displaySocket?.bytesWritten ?? 0) === hello.length);
    await settle();
    expect(stage.viewer.length).to.equal(0);
    handOver.open();
    await until("the greeting", () => stage.viewer.bytes.equals(hello));
    await until("the answer", () => stage.display.bytes.toString() === "early");
  });

  it("carries a flood of the display to a viewer that stalls: held back, within its bound, nothing lost", async () => {
    const client = await arriveAndOpen();
    client.pause();
    for (const chunk of flood()) stage.displaySocket?.write(chunk);
    await until("the display held back", () => stage.dialled?.isPaused() === true);
    await settle();
    const { socket } = stage.served!;
    const carried = stage.channel.bytesToViewer;
    expect(socket.writableLength).to.be.within(VIEWER_BUFFER_BYTES, VIEWER_BUFFER_BYTES + SLACK_BYTES);
    expect(stage.dialled!.readableLength).to.be.lessThan(SLACK_BYTES);
    await settle();
    expect(stage.channel.bytesToViewer, "stands still").to.equal(carried).and.lessThan(FLOOD_BYTES);
    client.resume();
    await until("the whole flood", () => stage.viewer.length === FLOOD_BYTES);
    expect(stage.viewer.bytes.equals(Buffer.concat([...flood()]))).to.equal(true);
  });

  it("carries a flood of a viewer to a display that stalls: held back, within its bound, nothing lost", async () => {
    const client = await arriveAndOpen();
    stage.displaySocket?.pause();
    for (const chunk of flood()) client.send(chunk);
    const { webSocket, socket } = stage.served!;
    await until("the viewer held back", () => webSocket.isPaused);
    await settle();
    const carried = stage.channel.bytesToMachine;
    expect(stage.dialled!.writableLength).to.be.within(DISPLAY_BUFFER_BYTES, DISPLAY_BUFFER_BYTES + SLACK_BYTES);
    expect(socket.readableLength).to.be.lessThan(SLACK_BYTES);
    await settle();
    expect(stage.channel.bytesToMachine, "stands still").to.equal(carried).and.lessThan(FLOOD_BYTES);
    stage.displaySocket?.resume();
    await until("the whole flood", () => stage.display.length === LINK.length + FLOOD_BYTES);
    expect(stage.display.bytes.equals(Buffer.concat([LINK, ...flood()]))).to.equal(true);
  });

  it("holds back a viewer that talks on while its display is being opened, and loses nothing of it", async () => {
    const opened = new Gate();
    stage.channel.opens = async () => {
      await opened.passed;
      return stage.dial();
    };
    const client = await stage.arrive();
    client.send(LINK);
    for (const chunk of flood()) client.send(chunk);
    await until("the viewer held back", () => stage.served?.webSocket.isPaused === true);
    await settle();
    expect(stage.served!.socket.readableLength).to.be.lessThan(SLACK_BYTES);
    expect(stage.channel.bytesToMachine).to.equal(0);
    opened.open();
    await until("the whole flood", () => stage.display.length === LINK.length + FLOOD_BYTES);
    expect(stage.display.bytes.equals(Buffer.concat([LINK, ...flood()]))).to.equal(true);
  });

  it("closes a viewer that says nothing in time", async () => {
    const protocol = new SpiceViewer({ viewOnly: false });
    stage.protocol = protocol;
    const client = await stage.arrive();
    client.send(LINK.subarray(0, -1));
    await until("the piece", () => protocol.heldBytes === LINK.length - 1);
    stage.clock.advance(VIEWER_SPEAKS_MS);
    expect(await stage.goodbye()).to.deep.equal({ code: 4400, reason: "INVALID_ARGUMENT" });
    expect(stage.channel.links).to.deep.equal([]);
    await expectEnd("REFUSED");
  });

  it("gives a viewer that has spoken all the time it wants", async () => {
    await arriveAndOpen();
    expect(stage.clock.waiting, "only the pulse").to.equal(1);
  });

  const refusals: readonly [string, (client: WebSocket) => void, number][] = [
    ["garbage", (client) => client.send(Buffer.from("GET / HTTP/1.1")), 4400],
    ["text", (client) => client.send("REDQ"), 1003],
    ["a message over the bound", (client) => client.send(Buffer.alloc(MAX_VIEWER_MESSAGE_BYTES + 1)), 1009],
    ["a message in too many pieces", sendPieces, 1008],
  ];
  for (const [what, send, code] of refusals) {
    it(`refuses ${what} with ${code} and opens no display`, async () => {
      send(await stage.arrive());
      expect((await stage.goodbye()).code).to.equal(code);
      expect(stage.channel.links).to.deep.equal([]);
      await expectEnd("REFUSED");
    });
  }

  function sendPieces(client: WebSocket): void {
    for (let piece = 0; piece <= MAX_VIEWER_PIECES; piece += 1) client.send(Buffer.from("R"), { fin: false });
  }

  it("refuses a message that comes in too many reads", async () => {
    const client = await stage.arriveRaw();
    const ended = new Promise((resolve) => client.once("close", resolve));
    const { socket } = stage.served!;
    if (!(socket instanceof Socket)) throw new Error("not served over a socket");
    // A binary frame of 65,535 bytes with an empty mask.
    client.write(Buffer.from([0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0]));
    for (let piece = 0; piece <= MAX_VIEWER_PIECES && !client.destroyed; piece += 1) {
      const before = socket.bytesRead;
      client.write("R");
      await until("the byte", () => socket.bytesRead > before || client.destroyed);
    }
    client.end();
    await within("the end", ended);
    await expectEnd("REFUSED");
  });

  it("refuses text in the middle as well, and closes the display", async () => {
    const client = await arriveAndOpen();
    client.send("text");
    expect((await stage.goodbye()).code).to.equal(1003);
    await expectEnd("REFUSED");
  });

  it("says why the display could not be opened", async () => {
    stage.channel.opens = () => Promise.reject(new ServiceError("TARGET_REFUSED", "no"));
    const client = await stage.arrive();
    client.send(LINK);
    expect(await stage.goodbye()).to.deep.equal({ code: 4502, reason: "TARGET_REFUSED" });
    await expectEnd("REFUSED");
  });

  it("logs an error that nobody foresaw and says INTERNAL", async () => {
    const log = new FakeLog();
    stage.log = log.log;
    stage.channel.opens = () => Promise.reject(new Error("boom"));
    const client = await stage.arrive();
    client.send(LINK);
    expect(await stage.goodbye()).to.deep.equal({ code: 4500, reason: "INTERNAL" });
    expect(log.at("error")).to.have.length(1);
    await expectEnd("REFUSED");
  });

  it("hands over the display's last words, then says why it ended once that is known", async () => {
    const why = new Gate();
    stage.channel.why = async () => {
      await why.passed;
      return { reason: "INSTANCE_CRASHED", code: 4003 };
    };
    const client = await arriveAndOpen();
    stage.displaySocket?.end("last words");
    await until("the last words", () => stage.viewer.bytes.toString() === "last words");
    await until("the display's end", () => stage.dialled?.destroyed === true);
    client.send("dropped, whatever it is");
    await settle();
    expect(stage.channel.ends).to.deep.equal([]);
    why.open();
    expect(await stage.goodbye()).to.deep.equal({ code: 4003, reason: "INSTANCE_CRASHED" });
    await expectEnd("INSTANCE_CRASHED");
  });

  it("sees the end of a display that still owes it to take something", async () => {
    const client = await arriveAndOpen();
    stage.displaySocket?.pause();
    for (const chunk of flood()) client.send(chunk);
    await until("the viewer held back", () => stage.served?.webSocket.isPaused === true);
    stage.displaySocket?.end();
    expect((await stage.goodbye()).reason).to.equal("DISPLAY_CLOSED");
    await expectEnd("DISPLAY_CLOSED");
  });

  it("takes a reset of the display for its end", async () => {
    await arriveAndOpen();
    stage.displaySocket?.resetAndDestroy();
    expect(await stage.goodbye()).to.deep.equal({ code: 1000, reason: "DISPLAY_CLOSED" });
    await expectEnd("DISPLAY_CLOSED");
  });

  it("takes a display that has ended before it was handed over for ended", async () => {
    stage.channel.opens = async () => {
      const display = await stage.dial();
      display.destroy();
      await once(display, "close");
      return display;
    };
    const client = await stage.arrive();
    client.send(LINK);
    expect((await stage.goodbye()).reason).to.equal("DISPLAY_CLOSED");
    await expectEnd("DISPLAY_CLOSED");
  });

  it("does not wait for the reason of an end when the viewer leaves", async () => {
    stage.channel.why = () => new Promise(() => undefined);
    const client = await arriveAndOpen();
    stage.displaySocket?.end();
    await until("the display's end", () => stage.dialled?.destroyed === true);
    client.close();
    await expectEnd("VIEWER_LEFT");
  });

  it("does not wait for the reason of an end when the session closes it", async () => {
    stage.channel.why = () => new Promise(() => undefined);
    await arriveAndOpen();
    stage.displaySocket?.end();
    await until("the display's end", () => stage.dialled?.destroyed === true);
    stage.channel.close({ reason: "INSTANCE_STOPPED", code: 4002 });
    expect(await stage.goodbye()).to.deep.equal({ code: 4002, reason: "INSTANCE_STOPPED" });
    await expectEnd("INSTANCE_STOPPED");
  });

  it("is closed by its session, whatever happens afterwards", async () => {
    await arriveAndOpen();
    stage.channel.close({ reason: "TERMINATED", code: 4001 });
    stage.channel.close({ reason: "TAKEN_OVER", code: 4007 });
    stage.displaySocket?.end();
    expect(await stage.goodbye()).to.deep.equal({ code: 4001, reason: "TERMINATED" });
    await expectEnd("TERMINATED");
  });

  it("opens nothing for a session that has ended before it was listened to", async () => {
    stage.protocol = SERVER_FIRST;
    stage.channel.close({ reason: "SESSION_EXPIRED", code: 4005 });
    await stage.arrive();
    expect((await stage.goodbye()).code).to.equal(4005);
    expect(stage.channel.links).to.deep.equal([]);
    await expectEnd("SESSION_EXPIRED");
  });

  it("closes the display of a viewer that says goodbye", async () => {
    const client = await arriveAndOpen();
    client.close(1001);
    await expectEnd("VIEWER_LEFT");
  });

  it("closes the display of a viewer that is cut off", async () => {
    const client = await arriveAndOpen();
    client.terminate();
    await expectEnd("VIEWER_LEFT");
  });

  it("closes a display that opens when its viewer has left", async () => {
    const opened = new Gate();
    stage.channel.opens = async () => {
      await opened.passed;
      return stage.dial();
    };
    const client = await stage.arrive();
    client.send(LINK);
    await until("the question", () => stage.channel.links.length === 1);
    client.terminate();
    await within("the pump's end", stage.running);
    opened.open();
    await until("the display's end", () => stage.dialled?.destroyed === true);
    await expectEnd("VIEWER_LEFT");
  });

  it("finds a viewer that answers no ping within 30 s", async () => {
    await arriveAndOpen({ autoPong: false });
    stage.clock.advance(VIEWER_SILENT_MS);
    expect((await stage.goodbye()).code).to.equal(1006);
    await expectEnd("VIEWER_SILENT");
  });

  for (const sign of ["ping", "pong", "send"] as const) {
    it(`takes a ${sign} for a sign of life`, async () => {
      const client = await arriveAndOpen({ autoPong: false });
      const { webSocket } = stage.served!;
      stage.clock.advance(VIEWER_PING_MS);
      const heard = new Promise((resolve) => webSocket.once(sign === "send" ? "message" : sign, resolve));
      client[sign](Buffer.from("x"));
      await within("the sign", heard);
      stage.clock.advance(VIEWER_SILENT_MS - 1);
      expect(webSocket.readyState).to.equal(webSocket.OPEN);
      stage.clock.advance(VIEWER_PING_MS);
      await expectEnd("VIEWER_SILENT");
    });
  }

  it("keeps a viewer that reads slowly, although its pongs come late", async () => {
    const client = await arriveAndOpen({ autoPong: false });
    client.pause();
    for (const chunk of flood()) stage.displaySocket?.write(chunk);
    await until("the display held back", () => stage.dialled?.isPaused() === true);
    await settle();
    stage.clock.advance(VIEWER_SILENT_MS - 1);
    client.resume();
    await until("the whole flood", () => stage.viewer.length === FLOOD_BYTES);
    stage.clock.advance(VIEWER_SILENT_MS - 1);
    expect(stage.served!.webSocket.readyState).to.equal(stage.served!.webSocket.OPEN);
  });

  it("does not wait long for the goodbye of a viewer that gives none", async () => {
    const client = await arriveAndOpen();
    client.pause();
    stage.channel.close({ reason: "TERMINATED", code: 4001 });
    await expectEnd("TERMINATED");
    client.resume();
    expect((await stage.goodbye()).code).to.equal(4001);
  });

  it("hears the goodbye of a viewer that was held back", async () => {
    const client = await arriveAndOpen();
    stage.displaySocket?.pause();
    for (const chunk of flood()) client.send(chunk);
    await until("the viewer held back", () => stage.served?.webSocket.isPaused === true);
    stage.channel.close({ reason: "TERMINATED", code: 4001 });
    expect((await stage.goodbye()).code).to.equal(4001);
    await expectEnd("TERMINATED");
  });
});
