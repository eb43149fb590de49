// SPDX-License-Identifier: Apache-2.0
import { ReleaseChord } from "./release-chord.js";
import { scanCode } from "./scan-codes.js";

/** Who gets the keys. */
export interface KeyboardListener {
  /** A physical key, by its KeyboardEvent.code. */
  readonly onKey: (code: string, down: boolean) => void;
  /** Ctrl+Alt+Shift: the person wants the keyboard back. */
  readonly onRelease: () => void;
}

/**
 * Takes every key while its element has the focus, before the library (which goes by what is printed on the keys) or the
 * browser sees it. Whatever is held when the focus leaves is let go, so that no key stays down in the machine.
 */
export class Keyboard {
  readonly #listener: KeyboardListener;
  /** Code of each key that is down, with the time of its event. */
  readonly #held = new Map<string, number>();
  readonly #chord = new ReleaseChord();

  constructor(target: HTMLElement, listener: KeyboardListener) {
    this.#listener = listener;
    target.addEventListener("keydown", (event) => this.#down(event), { capture: true });
    target.addEventListener("keyup", (event) => this.#up(event), { capture: true });
    target.addEventListener("focusout", () => this.letGo());
    window.addEventListener("blur", () => this.letGo());
  }

  /** Lets every held key go, the last one first. */
  letGo(): void {
    for (const code of [...this.#held.keys()].reverse()) this.#listener.onKey(code, false);
    this.#held.clear();
    this.#chord.reset();
  }

  #down(event: KeyboardEvent): void {
    take(event);
    if (scanCode(event.code) === undefined) return;
    this.#chord.down(event.code);
    if (isAltGraph(event)) this.#dropPhantomControl(event.timeStamp);
    this.#held.set(event.code, event.timeStamp);
    this.#listener.onKey(event.code, true);
  }

  #up(event: KeyboardEvent): void {
    take(event);
    // Windows keeps the press of this one for itself.
    if (event.code === "PrintScreen" && !this.#held.has(event.code)) this.#down(event);
    const released = this.#chord.up(event.code);
    if (this.#held.delete(event.code)) this.#listener.onKey(event.code, false);
    // While Command is down, macOS tells of no other key's release.
    if (event.code.startsWith("Meta")) this.letGo();
    if (!released) return;
    this.letGo();
    this.#listener.onRelease();
  }

  /** Windows says Control before AltGr although nobody pressed it. */
  #dropPhantomControl(at: number): void {
    const pressedAt = this.#held.get("ControlLeft");
    if (pressedAt === undefined || at - pressedAt > 20) return;
    this.#held.delete("ControlLeft");
    this.#listener.onKey("ControlLeft", false);
  }
}

function take(event: KeyboardEvent): void {
  event.preventDefault();
  event.stopImmediatePropagation();
}

function isAltGraph(event: KeyboardEvent): boolean {
  return event.code === "AltRight" && event.key === "AltGraph";
}
