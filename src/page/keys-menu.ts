// SPDX-License-Identifier: Apache-2.0
import { element } from "./elements.js";
import { KEY_COMBINATIONS, type KeyCombination } from "./key-combinations.js";

/** The menu of key combinations: arrow keys, Home and End, a letter, Escape; closes where the focus leaves it. */
export class KeysMenu {
  readonly #button = element("keys-button", HTMLButtonElement);
  readonly #menu = element("keys-menu", HTMLElement);

  constructor(onPick: (combination: KeyCombination) => void) {
    for (const [index, group] of KEY_COMBINATIONS.entries()) {
      if (index > 0) this.#menu.append(separator());
      this.#menu.append(...group.map((combination) => this.#item(combination, onPick)));
    }
    this.#button.addEventListener("click", () => (this.#menu.hidden ? this.open() : this.close()));
    this.#button.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") this.#handled(event, () => this.open());
    });
    this.#menu.addEventListener("keydown", (event) => this.#key(event));
    this.#menu.addEventListener("focusout", (event) => this.#left(event));
  }

  /** Opens it and goes to the first entry. */
  open(): void {
    this.#menu.hidden = false;
    this.#button.setAttribute("aria-expanded", "true");
    this.#items()[0]?.focus();
  }

  /** Closes it; a second call does nothing. */
  close(): void {
    this.#menu.hidden = true;
    this.#button.setAttribute("aria-expanded", "false");
  }

  #item(combination: KeyCombination, onPick: (combination: KeyCombination) => void): HTMLElement {
    const item = document.createElement("button");
    item.type = "button";
    item.role = "menuitem";
    item.tabIndex = -1;
    item.textContent = combination.label;
    item.addEventListener("click", () => {
      this.close();
      onPick(combination);
    });
    return item;
  }

  #key(event: KeyboardEvent): void {
    const items = this.#items();
    const at = items.findIndex((item) => item === document.activeElement);
    const to = destination(event.key, at, items);
    if (to !== undefined) this.#handled(event, () => items[to]?.focus());
    else if (event.key === "Escape") this.#handled(event, () => this.#button.focus());
    else if (event.key === "Tab") this.close();
  }

  #handled(event: KeyboardEvent, act: () => void): void {
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  #left(event: FocusEvent): void {
    const to = event.relatedTarget;
    const inside = to instanceof Node && this.#menu.contains(to);
    // The button closes it by its own click.
    if (!inside && !(to === this.#button && this.#button.matches(":active"))) this.close();
  }

  #items(): HTMLElement[] {
    return [...this.#menu.querySelectorAll<HTMLElement>("[role=menuitem]")];
  }
}

function separator(): HTMLElement {
  const line = document.createElement("hr");
  line.role = "separator";
  return line;
}

function destination(key: string, at: number, items: readonly HTMLElement[]): number | undefined {
  const last = items.length - 1;
  if (key === "ArrowDown") return at === last ? 0 : at + 1;
  if (key === "ArrowUp") return at <= 0 ? last : at - 1;
  if (key === "Home") return 0;
  if (key === "End") return last;
  if (key.length > 1) return undefined;
  const order = [...items.slice(at + 1), ...items.slice(0, at + 1)];
  const found = order.find((item) => item.textContent.toLowerCase().startsWith(key.toLowerCase()));
  return found === undefined ? undefined : items.indexOf(found);
}
