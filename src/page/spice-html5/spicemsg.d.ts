// SPDX-License-Identifier: Apache-2.0
import type { SpiceMessage } from "./main.js";

/** A message with the small header; build_msg fills it. */
export class SpiceMiniData implements SpiceMessage {
  build_msg(type: number, body: object): void;
}

/** A key goes down; the bytes of the code go to the keyboard, lowest first. */
export class SpiceMsgcKeyDown {
  code: number;
}

/** A key comes up. */
export class SpiceMsgcKeyUp {
  code: number;
}

/** The channels that a machine has. */
export class SpiceMsgChannels {
  channels: readonly { readonly type: number; readonly id: number }[];
  from_buffer: (this: SpiceMsgChannels, buffer: ArrayBuffer, at?: number) => void;
}

/** The encrypted password, as it goes to the machine. */
export class SpiceLinkAuthTicket {
  encrypted_data: readonly number[] | undefined;
  to_buffer: (this: SpiceLinkAuthTicket, buffer: ArrayBuffer, at?: number) => void;
}
