// SPDX-License-Identifier: Apache-2.0
import type { ConsoleState } from "./console-state.js";
import { element } from "./elements.js";
import { toggleFullScreen } from "./full-screen.js";
import type { ScaleMode } from "./scale.js";
import { VIEW_ONLY } from "./words.js";

/** What the buttons do, besides the menu's own. */
export interface ToolbarActions {
  readonly sendCtrlAltDel: () => void;
  readonly paste: () => void;
  readonly scale: (mode: ScaleMode) => void;
  readonly end: () => void;
  /** Escape: back to the machine. */
  readonly leave: () => void;
}

const STATE_TEXT = {
  connecting: "Connecting",
  connected: "Connected",
  reconnecting: "Reconnecting",
  ended: "Ended",
  refused: "Not connected",
} as const satisfies Record<ConsoleState["name"], string>;

/** The bar above the screen: which machine, how it stands, and the controls. */
export class Toolbar {
  readonly #bar = element("toolbar", HTMLElement);
  readonly #name = element("machine-name", HTMLElement);
  readonly #state = element("state-text", HTMLElement);
  readonly #power = element("power-badge", HTMLElement);
  readonly #viewOnly = element("view-only-badge", HTMLElement);
  readonly #scale = element("scale-button", HTMLButtonElement);
  readonly #fullScreen = element("fullscreen-button", HTMLButtonElement);

  constructor(actions: ToolbarActions) {
    onClick("ctrl-alt-del-button", actions.sendCtrlAltDel);
    onClick("paste-button", actions.paste);
    onClick("end-button", actions.end);
    onClick("scale-button", () => actions.scale(this.#toggleScale()));
    onClick("fullscreen-button", () => {
      actions.leave();
      void toggleFullScreen();
    });
    this.#fullScreen.hidden = !document.fullscreenEnabled;
    document.addEventListener("fullscreenchange", () => this.#showFullScreen());
    this.#bar.addEventListener("keydown", (event) => this.#key(event, actions));
  }

  /** Names the machine, here and in the window's title. */
  set machineName(name: string) {
    this.#name.textContent = name === "" ? "Console" : name;
    this.#name.title = name;
    document.title = name === "" ? "Console" : `${name} – Console`;
  }

  /** Shows a power state that explains why a machine does not react; a running one needs no words. */
  set powerState(powerState: string | undefined) {
    const shown = powerState !== undefined && powerState !== "running" && powerState !== "unknown";
    this.#power.hidden = !shown;
    this.#power.textContent = shown ? powerState : "";
  }

  /** A badge says that the machine takes no keys; what would send some goes. */
  set viewOnly(viewOnly: boolean) {
    this.#viewOnly.textContent = VIEW_ONLY.badge;
    this.#viewOnly.title = VIEW_ONLY.hint;
    this.#viewOnly.hidden = !viewOnly;
    for (const control of this.#bar.querySelectorAll<HTMLElement>(".controls > .input")) control.hidden = viewOnly;
  }

  /** What a person can do in a state: everything, only leave, or nothing. */
  show(state: ConsoleState): void {
    this.#state.textContent = STATE_TEXT[state.name];
    for (const button of this.#buttons()) {
      button.disabled = state.name !== "connected" && !(state.name === "reconnecting" && button.id === "end-button");
    }
  }

  /** Takes the focus, at the first button. */
  focus(): void {
    this.#buttons().find(isUsable)?.focus();
  }

  #key(event: KeyboardEvent, actions: ToolbarActions): void {
    if (event.key === "Escape") actions.leave();
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    const buttons = this.#buttons().filter(isUsable);
    const at = buttons.findIndex((button) => button === document.activeElement);
    buttons[(at + step + buttons.length) % buttons.length]?.focus();
    event.preventDefault();
  }

  #toggleScale(): ScaleMode {
    const mode = this.#scale.getAttribute("aria-pressed") === "true" ? "fit" : "actual";
    this.#scale.setAttribute("aria-pressed", String(mode === "actual"));
    return mode;
  }

  #showFullScreen(): void {
    this.#fullScreen.setAttribute("aria-pressed", String(document.fullscreenElement !== null));
  }

  #buttons(): HTMLButtonElement[] {
    return [...this.#bar.querySelectorAll<HTMLButtonElement>(".controls > button, .controls > div > button")];
  }
}

function isUsable(button: HTMLButtonElement): boolean {
  return !button.disabled && button.checkVisibility();
}

function onClick(id: string, run: () => void): void {
  element(id, HTMLButtonElement).addEventListener("click", run);
}
