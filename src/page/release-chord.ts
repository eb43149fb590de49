// SPDX-License-Identifier: Apache-2.0

const MODIFIERS: Readonly<Record<string, string>> = {
  ControlLeft: "Ctrl",
  ControlRight: "Ctrl",
  AltLeft: "Alt",
  AltRight: "Alt",
  ShiftLeft: "Shift",
  ShiftRight: "Shift",
};

/**
 * Recognizes Ctrl+Alt+Shift, pressed together and let go with no other key in between: the way out of a screen that
 * takes every key. With another key (Ctrl+Alt+Shift+X) it is the machine's.
 */
export class ReleaseChord {
  readonly #held = new Set<string>();
  #complete = false;

  /** A key goes down; the same key again (a repeat) changes nothing. */
  down(code: string): void {
    if (MODIFIERS[code] === undefined) {
      this.#complete = false;
      return;
    }
    if (this.#held.has(code)) return;
    this.#held.add(code);
    this.#complete = new Set([...this.#held].map((held) => MODIFIERS[held])).size === 3;
  }

  /** A key comes up. True where that ends the chord. */
  up(code: string): boolean {
    this.#held.delete(code);
    const released = this.#complete;
    this.#complete = false;
    return released;
  }

  /** Nothing is held any more. */
  reset(): void {
    this.#held.clear();
    this.#complete = false;
  }
}
