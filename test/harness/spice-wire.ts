// SPDX-License-Identifier: Apache-2.0
// As much of the SPICE protocol as a client needs to join (spice-protocol: protocol.h, enums.h), written anew and not
// taken from the program under test.
import { constants, publicEncrypt } from "node:crypto";
import { linkMessage } from "./spice-messages.js";

/** Numbers of channel types. */
export const SPICE_CHANNEL = {
  main: 1,
  display: 2,
  inputs: 3,
  cursor: 4,
  playback: 5,
  record: 6,
  usbredir: 9,
} as const;

const MAGIC = "REDQ";
/** Bits of the common capabilities: choose how to authenticate, by ticket; small message headers. */
const COMMON_CAPS = (1 << 0) | (1 << 1) | (1 << 3);
const AUTH_SPICE = 1;
const LINK_HEADER = 16;
const PUBLIC_KEY = 162;
const MAIN_INIT = 103;
const DISPLAY_INIT = 101;

/** Who joins. */
export interface LinkOptions {
  /** 0 for main, else what the server told main. */
  readonly connectionId?: number;
  readonly type: number;
  readonly number?: number;
}

/** The first message of every channel, with the capabilities of a usual client. */
export function clientLink(options: LinkOptions): Buffer {
  return linkMessage({ ...options, commonCaps: [COMMON_CAPS] });
}

/** What is exchanged bytewise with a server. */
export interface SpiceWire {
  send(bytes: Uint8Array): void;
  /** The next `count` bytes. */
  read(count: number): Promise<Buffer>;
}

/** Joins a channel: link, ticket without a password, result. Throws what the server says against it. */
export async function join(wire: SpiceWire, options: LinkOptions): Promise<void> {
  wire.send(clientLink(options));
  const header = await wire.read(LINK_HEADER);
  if (header.toString("latin1", 0, 4) !== MAGIC) throw new Error("the server does not speak SPICE");
  const reply = await wire.read(header.readUInt32LE(12));
  const error = reply.readUInt32LE(0);
  if (error !== 0) throw new Error(`the server answered the link with error ${error}`);
  const der = reply.subarray(4, 4 + PUBLIC_KEY);
  const key = { key: publicKeyPem(der), padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" };
  const mechanism = Buffer.alloc(4);
  mechanism.writeUInt32LE(AUTH_SPICE, 0);
  wire.send(Buffer.concat([mechanism, publicEncrypt(key, Buffer.from([0]))]));
  const result = (await wire.read(4)).readUInt32LE(0);
  if (result !== 0) throw new Error(`the server refused the ticket with error ${result}`);
  if (options.type === SPICE_CHANNEL.display) wire.send(displayInit());
}

/**
 * A display client's first message: no caches. spice-server 0.15.1 dereferences null, and its QEMU dies, where a display
 * client leaves without it.
 */
function displayInit(): Buffer {
  const message = Buffer.alloc(6 + 14);
  message.writeUInt16LE(DISPLAY_INIT, 0);
  message.writeUInt32LE(14, 2);
  return message;
}

/** Reads main's first message and returns the connection id that the other channels need. */
export async function readConnectionId(wire: SpiceWire): Promise<number> {
  for (;;) {
    const header = await wire.read(6);
    const body = await wire.read(header.readUInt32LE(2));
    if (header.readUInt16LE(0) === MAIN_INIT) return body.readUInt32LE(0);
  }
}

function publicKeyPem(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN PUBLIC KEY-----", ...lines, "-----END PUBLIC KEY-----", ""].join("\n");
}
