// SPDX-License-Identifier: Apache-2.0
// The browser page of a console: puts its parts together. It is sent to browsers and imports nothing of the server.
import { sessionPath, tokenFromFragment } from "./address.js";
import type { SessionStatus } from "./api.js";
import { Console, type ConsoleStart } from "./console.js";
import type { ConsoleState } from "./console-state.js";
import { element } from "./elements.js";
import { EndDialog } from "./end-dialog.js";
import { CTRL_ALT_DEL, type KeyCombination } from "./key-combinations.js";
import { Keyboard } from "./keyboard.js";
import { KeysMenu } from "./keys-menu.js";
import { teachManners } from "./library-manners.js";
import { Notices } from "./notices.js";
import { Panel } from "./panel.js";
import { PasteDialog } from "./paste-dialog.js";
import { scanCode } from "./scan-codes.js";
import { Screen } from "./screen.js";
import type { Stroke } from "./text-keys.js";
import { Toolbar } from "./toolbar.js";
import { Typist } from "./typist.js";
import { VIEW_ONLY, wordsOf } from "./words.js";

/** A session with a limit says so in its last minute. */
const LAST_MS = 60_000;
const HINT_MS = 8_000;
const STAY = "Press any key or move the mouse in the machine to stay.";
const KEYBOARD_HINT = "The machine has your keyboard. Ctrl + Alt + Shift gives it back.";
const IDLE_ALERT = `This session is about to end because nobody is typing. ${STAY}`;

/** The page. It lives as long as its document. */
class Page {
  readonly #announcer = element("announcer", HTMLElement);
  readonly #alert = element("alert", HTMLElement);
  readonly #screen = new Screen();
  readonly #notices = new Notices();
  readonly #panel: Panel;
  readonly #toolbar: Toolbar;
  readonly #menu: KeysMenu;
  readonly #typist: Typist;
  readonly #keyboard: Keyboard;
  readonly #pasteDialog: PasteDialog;
  readonly #endDialog: EndDialog;
  readonly #console: Console;
  #hinted = false;
  #viewOnly = false;

  constructor(start: ConsoleStart) {
    const toScreen = (): void => this.#toScreen();
    const key = (code: string, down: boolean): void => this.#sendKey(code, down);
    this.#console = new Console(start, {
      onState: (state) => this.#show(state),
      onPictureGoes: () => this.#screen.keepPicture(),
      onStatus: (status) => this.#showStatus(status),
      onTimeLeft: (ms) => this.#showTimeLeft(ms),
      onIdleTimeLeft: (ms) => this.#showIdleTimeLeft(ms),
      onCountDown: (seconds) => this.#panel.countDown(seconds),
    });
    this.#typist = new Typist(key);
    this.#keyboard = new Keyboard(this.#screen.view, { onKey: key, onRelease: () => this.#toolbar.focus() });
    this.#panel = new Panel(() => this.#console.tryNow());
    this.#menu = new KeysMenu((combination) => this.#press(combination));
    this.#pasteDialog = new PasteDialog((strokes) => void this.#type(strokes), toScreen);
    this.#endDialog = new EndDialog(() => void this.#end(), toScreen);
    this.#toolbar = new Toolbar({
      sendCtrlAltDel: () => this.#press(CTRL_ALT_DEL),
      paste: () => this.#pasteDialog.open(),
      scale: (mode) => {
        this.#screen.mode = mode;
        toScreen();
      },
      end: () => this.#endDialog.open(),
      leave: toScreen,
    });
  }

  start(): void {
    this.#screen.start();
    this.#screen.onPointer(() => this.#console.noteInput());
    this.#screen.view.addEventListener("focus", () => this.#hint(KEYBOARD_HINT));
    window.addEventListener("pagehide", () => this.#console.suspend());
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) this.#console.resume();
    });
    this.#console.start();
  }

  #show(state: ConsoleState): void {
    const hadFocus = document.activeElement === document.body || this.#screen.view.contains(document.activeElement);
    document.body.dataset["state"] = state.name;
    if (state.name !== "connected") this.#leave();
    this.#panel.show(state);
    this.#toolbar.show(state);
    this.#screen.takesKeys = state.name === "connected";
    this.#announcer.textContent = announcement(state, this.#viewOnly);
    if (state.name === "ended" || state.name === "refused") this.#screen.dropPicture();
    const lostFocus = hadFocus || document.activeElement === document.body;
    if (state.name === "connected") this.#connected();
    else if (lostFocus && state.name !== "connecting") this.#panel.focus();
  }

  #connected(): void {
    if (this.#viewOnly) this.#hint(VIEW_ONLY.hint);
    else this.#screen.focus();
  }

  /** Nothing that needs a connection stays open without one. */
  #leave(): void {
    this.#typist.stop();
    this.#keyboard.letGo();
    this.#menu.close();
    this.#pasteDialog.close();
    this.#notices.clear();
    this.#alert.textContent = "";
  }

  #showStatus(status: SessionStatus): void {
    if (status.state !== "open") return;
    this.#toolbar.machineName = status.name;
    this.#toolbar.powerState = status.powerState;
    this.#viewOnly = status.viewOnly;
    this.#toolbar.viewOnly = status.viewOnly;
    this.#screen.viewOnly = status.viewOnly;
    this.#screen.view.ariaLabel = `Screen of ${status.name}`;
    if (status.draining) {
      this.#notices.show("draining", {
        text: "The console server is about to restart. This page reconnects by itself.",
      });
    } else this.#notices.hide("draining");
  }

  #showTimeLeft(ms: number | undefined): void {
    if (ms === undefined || ms > LAST_MS) this.#notices.hide("time");
    else this.#notices.show("time", { text: `This session’s time is up in ${Math.ceil(ms / 1000)} s.` });
  }

  /** The words stay the same and are announced once; the seconds are for the eye. */
  #showIdleTimeLeft(ms: number | undefined): void {
    const alert = ms === undefined ? "" : this.#viewOnly ? VIEW_ONLY.idle : IDLE_ALERT;
    if (this.#alert.textContent !== alert) this.#alert.textContent = alert;
    if (ms === undefined) this.#notices.hide("idle");
    else this.#notices.show("idle", { text: idleNotice(Math.ceil(ms / 1000), this.#viewOnly) });
  }

  /** Says once who has the keyboard. */
  #hint(text: string): void {
    if (this.#hinted) return;
    this.#hinted = true;
    this.#notices.show("keyboard", { text });
    window.setTimeout(() => this.#notices.hide("keyboard"), HINT_MS);
  }

  #sendKey(code: string, down: boolean): void {
    const scan = scanCode(code);
    if (scan !== undefined) this.#console.sendKey(scan, down);
  }

  #press(combination: KeyCombination): void {
    this.#typist.press(combination);
    this.#toScreen();
  }

  /** The keyboard goes to the machine, where there is one to take it. */
  #toScreen(): void {
    if (document.body.dataset["state"] === "connected") this.#screen.focus();
  }

  async #type(strokes: readonly Stroke[]): Promise<void> {
    const action = { label: "Stop", run: () => this.#typist.stop() };
    await this.#typist.type(strokes, (done) => {
      this.#notices.show("typing", { text: `Typing ${done} of ${strokes.length}`, action });
    });
    this.#notices.hide("typing");
    // Its button may have had the focus.
    if (document.activeElement === document.body) this.#toScreen();
  }

  async #end(): Promise<void> {
    if (await this.#console.end()) return;
    this.#notices.show("end", { text: `The session could not be ended. ${wordsOf("NETWORK").text}` });
    window.setTimeout(() => this.#notices.hide("end"), HINT_MS);
  }
}

function idleNotice(seconds: number, viewOnly: boolean): string {
  if (viewOnly) return `${VIEW_ONLY.idleCount} ${seconds} s.`;
  return `Nobody is typing: this session ends in ${seconds} s. ${STAY}`;
}

function announcement(state: ConsoleState, viewOnly: boolean): string {
  if (state.name === "connecting") return "Connecting";
  if (state.name === "connected" && viewOnly) return VIEW_ONLY.connected;
  if (state.name === "connected") return "Connected. Control, Alt and Shift together give the keyboard back.";
  const { title, text } = wordsOf(state.reason);
  return state.name === "reconnecting" ? `${title}. Reconnecting.` : `${title}. ${text}`;
}

/** Takes the token out of the address before anything else can see it there. */
function takeStart(): ConsoleStart {
  const token = tokenFromFragment(location.hash);
  const path = sessionPath(location.pathname);
  if (location.hash !== "") history.replaceState(null, "", location.pathname);
  if (path !== undefined) return { path };
  return { token };
}

const start = takeStart();
teachManners();
new Page(start).start();
// Another console URL in this tab differs in its fragment only, which loads nothing by itself.
window.addEventListener("hashchange", () => {
  if (tokenFromFragment(location.hash) !== undefined) location.reload();
});
