// SPDX-License-Identifier: Apache-2.0
import type { ChannelLink } from "../console/viewer.js";

/** A viewer has said which channel it wants. */
export interface Opening {
  readonly link: ChannelLink;
  /** What of the bytes so far is to be handed to the display. */
  readonly bytes: Buffer;
}

/**
 * What is to know about the protocol of one connection; everything else is bytes. One object per connection, since it
 * may keep what it has read.
 */
export interface ViewerProtocol {
  /**
   * Takes the viewer's next bytes; undefined until they say which channel is meant. It is asked once with no bytes, before
   * any come: where the display speaks first (VNC) that is the answer. Throws INVALID_ARGUMENT for anything else.
   */
  open(bytes: Buffer): Opening | undefined;
  /** What of a message after the opening is to be handed to the display: usually the message itself. Throws INVALID_ARGUMENT. */
  pass(message: Buffer): Buffer;
  /** True where a message after the opening is a key or the mouse. */
  isInput(message: Buffer): boolean;
}
