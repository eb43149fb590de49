// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import type { Server as HttpServer } from "node:http";
import { createServer as createHttpServer } from "node:http";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import type { Log } from "../../src/lib/log.js";
import { silentLog } from "../../src/lib/log.js";
import { SpiceViewer } from "../../src/proxy/spice-link.js";
import type { ViewerProtocol } from "../../src/proxy/viewer-protocol.js";
import { runViewer, VIEWER_WEBSOCKETS } from "../../src/proxy/viewer-socket.js";
import { FakeClock } from "../fakes/fake-clock.js";
import { FakeViewerChannel } from "../fakes/fake-viewer-channel.js";
import { within } from "./within.js";

/** What one side has received so far. */
export class Ear {
  readonly #chunks: Buffer[] = [];
  length = 0;

  take(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.length += bytes.length;
  }

  /** All of it. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

/** A display server, the pump under test with a fake channel, and a real WebSocket client, all on loopback. */
export class ViewerStage {
  readonly clock = new FakeClock();
  readonly channel = new FakeViewerChannel(() => this.dial());
  /** Made anew for the connection. */
  protocol: ViewerProtocol = new SpiceViewer({ viewOnly: false });
  log: Log = silentLog;
  /** What the display does with a connection, beside listening. */
  greet: (display: Socket) => void = () => undefined;
  readonly display = new Ear();
  readonly viewer = new Ear();
  /** The display's end of the connection. */
  displaySocket: Socket | undefined;
  /** The pump's end of it. */
  dialled: Socket | undefined;
  /** The pump's ends of the viewer's connection. */
  served: { readonly webSocket: WebSocket; readonly socket: Duplex } | undefined;
  /** Ends with the pump. */
  running: Promise<void> = Promise.resolve();
  readonly #displays: Server;
  readonly #http: HttpServer;
  #client: WebSocket | undefined;

  constructor() {
    this.#displays = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (bytes) => this.display.take(bytes));
      this.displaySocket = socket;
      this.greet(socket);
    });
    const webSockets = new WebSocketServer(VIEWER_WEBSOCKETS);
    this.#http = createHttpServer().on("upgrade", (request, socket, head) => {
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        const { channel, protocol, log, clock } = this;
        this.served = { webSocket, socket };
        this.running = runViewer({ webSocket, socket, channel, protocol, log, clock });
      });
    });
  }

  async start(): Promise<void> {
    for (const server of [this.#displays, this.#http]) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    }
  }

  /** Cuts what is left. */
  async stop(): Promise<void> {
    this.#client?.terminate();
    await within("the pump's end", this.running);
    this.displaySocket?.destroy();
    this.dialled?.destroy();
    for (const server of [this.#displays, this.#http]) {
      server.close();
      await once(server, "close");
    }
  }

  /** A connection to the display server, as Displays gives it out. */
  async dial(): Promise<Socket> {
    const socket = connect((this.#displays.address() as AddressInfo).port, "127.0.0.1");
    socket.on("error", () => undefined);
    await once(socket, "connect");
    this.dialled = socket;
    return socket;
  }

  /** A viewer comes. */
  async arrive(options: { readonly autoPong?: boolean } = {}): Promise<WebSocket> {
    const { port } = this.#http.address() as AddressInfo;
    const client = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: false, ...options });
    this.#client = client;
    client.on("message", (bytes) => this.viewer.take(bytes as Buffer));
    client.on("error", () => undefined);
    await within("the WebSocket", once(client, "open"));
    return client;
  }

  /** A viewer comes that writes its frames itself. */
  async arriveRaw(): Promise<Socket> {
    const socket = connect((this.#http.address() as AddressInfo).port, "127.0.0.1");
    socket.setNoDelay(true).on("error", () => undefined);
    const head = [
      "GET / HTTP/1.1",
      "Host: c",
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
    ];
    socket.write([...head, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""].join("\r\n"));
    await within("the WebSocket", once(socket, "data"));
    return socket;
  }

  /** How the viewer's connection ends, for the viewer. */
  async goodbye(): Promise<{ code: number; reason: string }> {
    const [code, reason] = (await within("the goodbye", once(this.#client!, "close"))) as [number, Buffer];
    return { code, reason: reason.toString() };
  }
}
