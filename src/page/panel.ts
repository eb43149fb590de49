// SPDX-License-Identifier: Apache-2.0
import type { ConsoleState } from "./console-state.js";
import { element } from "./elements.js";
import { wordsOf } from "./words.js";

/** The card that says what is going on while there is no live picture. */
export class Panel {
  readonly #card = element("panel", HTMLElement);
  readonly #title = element("panel-title", HTMLElement);
  readonly #text = element("panel-text", HTMLElement);
  readonly #wait = element("panel-wait", HTMLElement);
  readonly #action = element("panel-action", HTMLButtonElement);

  /** `onTry` is the button: connect now, again, or once more. */
  constructor(onTry: () => void) {
    this.#action.addEventListener("click", onTry);
  }

  /** Says what a state means. */
  show(state: ConsoleState): void {
    this.#card.hidden = state.name === "connected";
    this.#wait.textContent = "";
    const { title, text, action } = content(state);
    this.#title.textContent = title;
    this.#text.textContent = text;
    this.#action.hidden = action === undefined;
    this.#action.textContent = action ?? "";
  }

  /** How long until the next attempt. */
  countDown(seconds: number): void {
    this.#wait.textContent = seconds > 0 ? `Trying again in ${seconds} s` : "";
  }

  /** Takes the focus, at the title: a key meant for the machine must not press the button. */
  focus(): void {
    this.#title.focus();
  }
}

interface Content {
  readonly title: string;
  readonly text: string;
  readonly action?: string;
}

function content(state: ConsoleState): Content {
  switch (state.name) {
    case "connecting":
      return { title: "Connecting", text: "Opening the machine’s screen …" };
    case "connected":
      return { title: "Connected", text: "" };
    case "reconnecting":
      if (state.phase === "trying") return { title: "Reconnecting", text: wordsOf(state.reason).title + "." };
      return { ...wordsOf(state.reason), action: "Reconnect now" };
    case "ended":
    case "refused": {
      const { title, text, next, action } = { action: "Try again", ...wordsOf(state.reason) };
      return next === "over" ? { title, text } : { title, text, action };
    }
  }
}
