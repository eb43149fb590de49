// SPDX-License-Identifier: Apache-2.0
import { element } from "./elements.js";

/** Asks once more before a session is ended. */
export class EndDialog {
  readonly #dialog = element("end-dialog", HTMLDialogElement);

  /** `onConfirm` where the person means it; `onClosed` follows every closing. */
  constructor(onConfirm: () => void, onClosed: () => void) {
    this.#dialog.addEventListener("close", () => {
      onClosed();
      if (this.#dialog.returnValue === "end") onConfirm();
    });
  }

  /** Shows it. */
  open(): void {
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
  }

  /** Closes it without ending anything. */
  close(): void {
    this.#dialog.close("");
  }
}
