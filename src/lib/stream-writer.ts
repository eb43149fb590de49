// SPDX-License-Identifier: Apache-2.0
import { MAX_QUEUED_BYTES } from "./limits.js";

/** The writing half of a stream. `taken` is called when the connection has taken the message. */
export interface MessageSink {
  write(message: Buffer, taken: () => void): void;
}

/**
 * Writes messages to one stream and counts the bytes that the connection has not taken yet. A peer that lets too
 * many queue up is not worth the memory: `onOverflow` is called, once, and nothing is written any more.
 */
export class StreamWriter {
  readonly #sink: MessageSink;
  readonly #onOverflow: () => void;
  #queuedBytes = 0;
  #open = true;

  constructor(sink: MessageSink, onOverflow: () => void) {
    this.#sink = sink;
    this.#onOverflow = onOverflow;
  }

  /** Bytes that wait for the connection. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Queues a message; does nothing after `close`. */
  write(message: Buffer, taken?: () => void): void {
    if (!this.#open) return;
    this.#queuedBytes += message.length;
    if (this.#queuedBytes > MAX_QUEUED_BYTES) return this.overflow();
    this.#sink.write(message, () => {
      this.#queuedBytes -= message.length;
      if (this.#open) taken?.();
    });
  }

  /** Declares the peer too slow. A second call does nothing. */
  overflow(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#onOverflow();
  }

  /** Ends writing. A second call does nothing. */
  close(): void {
    this.#open = false;
  }
}
