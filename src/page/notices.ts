// SPDX-License-Identifier: Apache-2.0
import { element } from "./elements.js";

/** A line over the screen; the page stays usable beneath. */
export interface Notice {
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void };
}

/** The notices that are shown, one per key. */
export class Notices {
  readonly #list = element("notices", HTMLElement);
  readonly #shown = new Map<string, HTMLElement>();

  /** Shows a notice, or changes the one with the same key. */
  show(key: string, notice: Notice): void {
    const item = this.#shown.get(key) ?? this.#add(key, notice);
    const line = item.querySelector("span");
    if (line !== null && line.textContent !== notice.text) line.textContent = notice.text;
  }

  /** Takes a notice away; where there is none, nothing happens. */
  hide(key: string): void {
    this.#shown.get(key)?.remove();
    this.#shown.delete(key);
  }

  /** Takes all away. */
  clear(): void {
    for (const key of [...this.#shown.keys()]) this.hide(key);
  }

  #add(key: string, notice: Notice): HTMLElement {
    const item = document.createElement("li");
    item.dataset["notice"] = key;
    item.append(document.createElement("span"));
    if (notice.action !== undefined) item.append(button(notice.action.label, notice.action.run));
    this.#list.append(item);
    this.#shown.set(key, item);
    return item;
  }
}

function button(label: string, run: () => void): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", run);
  return made;
}
