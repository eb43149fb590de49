// SPDX-License-Identifier: Apache-2.0
import type { KeyCombination } from "./key-combinations.js";
import type { Stroke } from "./text-keys.js";

/** Faster than this, a machine that is still starting loses keys. */
const STROKE_MS = 10;

/** Presses keys for the person: combinations at once, text stroke by stroke. */
export class Typist {
  readonly #key: (code: string, down: boolean) => void;
  #typing: AbortController | undefined;

  constructor(key: (code: string, down: boolean) => void) {
    this.#key = key;
  }

  /** Presses the keys in order and lets them go in reverse. */
  press(combination: KeyCombination): void {
    for (const code of combination.codes) this.#key(code, true);
    for (const code of [...combination.codes].reverse()) this.#key(code, false);
  }

  /** Types a text and tells after each stroke how many are done; ends early at stop() or at the next text. */
  async type(strokes: readonly Stroke[], onProgress: (done: number) => void): Promise<void> {
    this.stop();
    const typing = new AbortController();
    this.#typing = typing;
    for (const [index, stroke] of strokes.entries()) {
      if (typing.signal.aborted) return;
      this.press({ label: "", codes: stroke.shift ? ["ShiftLeft", stroke.code] : [stroke.code] });
      onProgress(index + 1);
      await new Promise((resolve) => setTimeout(resolve, STROKE_MS));
    }
  }

  /** Types no further. */
  stop(): void {
    this.#typing?.abort();
  }
}
