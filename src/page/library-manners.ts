// SPDX-License-Identifier: Apache-2.0
// What the SPICE library does in ways that a careful page cannot let through. It is served unmodified, so it is caught
// from outside: once, before its first connection.
import type { SpiceChannel } from "./spice-html5/main.js";
import { SpiceLinkAuthTicket, SpiceMsgChannels } from "./spice-html5/spicemsg.js";
import { wholeTicket } from "./ticket.js";

/** A socket of the library; `parent` is the channel it belongs to. */
export type ChannelSocket = WebSocket & { readonly parent?: SpiceChannel };

let openTypes: readonly number[] | undefined;
let onSocket: ((socket: ChannelSocket) => void) | undefined;

/** Tells `listener` of every socket that the library opens from now on; the one before hears no more. */
export function watchSockets(listener: (socket: ChannelSocket) => void): void {
  onSocket = listener;
}

/** From now on it opens, beside main, channels of these types only; undefined: every one that a machine offers. */
export function openOnly(types: readonly number[] | undefined): void {
  openTypes = types;
}

/** Call once, before anything of the library runs. */
export function teachManners(): void {
  silenceAlerts();
  allowVideoPlacement();
  reportSockets();
  completeTickets();
  chooseChannels();
}

/** It calls alert() for keys and cursors that it does not know. */
function silenceAlerts(): void {
  window.alert = () => undefined;
}

/** It places videos by a style attribute, which the content security policy forbids; by the style object it may. */
function allowVideoPlacement(): void {
  HTMLVideoElement.prototype.setAttribute = function (this: HTMLVideoElement, name: string, value: string) {
    if (name === "style") this.style.cssText = value;
    else Element.prototype.setAttribute.call(this, name, value);
  };
}

/** It forgets some of the sockets that it opens (sound, ports) and says of none but the first that it was closed. */
function reportSockets(): void {
  window.WebSocket = class extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      onSocket?.(this);
    }
  };
}

/** It sends an encrypted password without its leading zeros, so that one channel in 256 would be refused. */
function completeTickets(): void {
  const { prototype } = SpiceLinkAuthTicket;
  const write = prototype.to_buffer;
  prototype.to_buffer = function (buffer, at) {
    this.encrypted_data = wholeTicket(this.encrypted_data ?? []);
    write.call(this, buffer, at);
  };
}

/** It opens every channel that a machine has. */
function chooseChannels(): void {
  const { prototype } = SpiceMsgChannels;
  const read = prototype.from_buffer;
  prototype.from_buffer = function (buffer, at) {
    read.call(this, buffer, at);
    this.channels = this.channels.filter(({ type }) => openTypes?.includes(type) ?? true);
  };
}
