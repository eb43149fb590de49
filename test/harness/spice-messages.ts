// SPDX-License-Identifier: Apache-2.0

/** The fields of a link message that matter here; what is left out is 0 or empty. */
export interface LinkFields {
  readonly connectionId?: number;
  readonly type?: number;
  readonly number?: number;
  readonly commonCaps?: readonly number[];
  readonly channelCaps?: readonly number[];
}

/** What a SPICE client says first. */
export function linkMessage(fields: LinkFields): Buffer {
  const { connectionId = 0, type = 1, number = 0, commonCaps = [], channelCaps = [] } = fields;
  const caps = [...commonCaps, ...channelCaps];
  const bytes = Buffer.alloc(34 + 4 * caps.length);
  bytes.write("REDQ", 0, "latin1");
  [2, 2, bytes.length - 16, connectionId].forEach((value, index) => bytes.writeUInt32LE(value, 4 + 4 * index));
  bytes.writeUInt8(type, 20);
  bytes.writeUInt8(number, 21);
  [commonCaps.length, channelCaps.length, 18].forEach((value, index) => bytes.writeUInt32LE(value, 22 + 4 * index));
  caps.forEach((value, index) => bytes.writeUInt32LE(value, 34 + 4 * index));
  return bytes;
}

/** A message of a client after the link: mini header and four bytes. */
export function inputMessage(type: number): Buffer {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt16LE(type, 0);
  bytes.writeUInt32LE(4, 2);
  return bytes;
}
