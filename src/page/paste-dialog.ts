// SPDX-License-Identifier: Apache-2.0
import { element } from "./elements.js";
import { type Stroke, strokesOf } from "./text-keys.js";

/** Asks for a text to type, and says beforehand which characters cannot be typed. */
export class PasteDialog {
  readonly #dialog = element("paste-dialog", HTMLDialogElement);
  readonly #text = element("paste-text", HTMLTextAreaElement);
  readonly #hint = element("paste-hint", HTMLElement);
  readonly #send = element("paste-send", HTMLButtonElement);

  /** `onSend` gets the strokes once the dialog is closed; `onClosed` follows every closing. */
  constructor(onSend: (strokes: readonly Stroke[]) => void, onClosed: () => void) {
    this.#text.addEventListener("input", () => this.#check());
    this.#text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#send.click();
    });
    this.#dialog.addEventListener("close", () => {
      const { strokes } = strokesOf(this.#text.value);
      this.#text.value = "";
      onClosed();
      if (this.#dialog.returnValue === "send" && strokes.length > 0) onSend(strokes);
    });
  }

  /** Shows it, empty. */
  open(): void {
    this.#dialog.returnValue = "";
    this.#text.value = "";
    this.#check();
    this.#dialog.showModal();
  }

  /** Closes it without typing. */
  close(): void {
    this.#dialog.close("");
  }

  #check(): void {
    const { strokes, untypable } = strokesOf(this.#text.value);
    this.#send.disabled = strokes.length === 0;
    this.#hint.textContent =
      untypable.length === 0 ? "" : `Left out, because a US keyboard has no key for it: ${untypable.join(" ")}`;
  }
}
