// SPDX-License-Identifier: Apache-2.0
import { element } from "./elements.js";
import { isWhole, type ScaleMode, scaleFactor } from "./scale.js";

/** The id of the element that the library paints into. */
export const PICTURE_ID = "picture";

/**
 * The machine's screen: keeps the picture centred and scaled, whatever sizes the machine and the window take, and keeps
 * the last picture in view when a connection is lost. The element #screen has the keyboard; the canvas never does.
 */
export class Screen {
  readonly view = element("screen", HTMLElement);
  readonly #stage = element("stage", HTMLElement);
  readonly #picture = element(PICTURE_ID, HTMLElement);
  readonly #last = element("last-picture", HTMLCanvasElement);
  #mode: ScaleMode = "fit";
  #viewOnly = false;

  /** Begins to follow the sizes of window and machine. Call once. */
  start(): void {
    new ResizeObserver(() => this.#layOut()).observe(this.view);
    const changes = new MutationObserver(() => this.#pictureChanged());
    changes.observe(this.#picture, { childList: true, subtree: true, attributeFilter: ["width", "height"] });
    this.view.addEventListener("focusin", (event) => this.#keepFocus(event));
    this.view.addEventListener("pointerdown", (event) => this.#pressed(event));
    // Focus that follows the mouse would take the keyboard out of a menu.
    for (const type of ["mouseover", "mouseout"]) {
      this.view.addEventListener(type, (event) => event.stopImmediatePropagation(), { capture: true });
    }
    this.view.addEventListener("mousemove", keepInside, { capture: true });
  }

  /** Tells of the mouse in the machine: each move, press and turn of the wheel. */
  onPointer(listener: () => void): void {
    for (const type of ["pointermove", "pointerdown", "wheel"]) {
      this.#picture.addEventListener(type, listener, { capture: true, passive: true });
    }
  }

  get mode(): ScaleMode {
    return this.#mode;
  }

  set mode(mode: ScaleMode) {
    this.#mode = mode;
    this.#layOut();
  }

  /** Whether it is a picture and takes no keys. */
  set viewOnly(viewOnly: boolean) {
    this.#viewOnly = viewOnly;
    this.view.role = viewOnly ? "img" : "application";
    if (viewOnly) this.view.removeAttribute("aria-describedby");
  }

  /** Whether it can take the keyboard; a person then gets there by Tab too. */
  set takesKeys(takesKeys: boolean) {
    this.view.tabIndex = takesKeys && !this.#viewOnly ? 0 : -1;
  }

  /** Takes the keyboard, where it can. */
  focus(): void {
    if (this.#viewOnly) return;
    this.view.focus({ preventScroll: true });
  }

  /** Keeps what is shown now in view, for when the library takes its canvas away. */
  keepPicture(): void {
    const canvas = this.#canvas();
    if (canvas === null) return;
    this.#last.width = canvas.width;
    this.#last.height = canvas.height;
    this.#last.getContext("2d")?.drawImage(canvas, 0, 0);
    this.#last.hidden = false;
    this.#layOut();
  }

  /** Forgets the last picture. */
  dropPicture(): void {
    this.#last.hidden = true;
    this.#layOut();
  }

  #pictureChanged(): void {
    const canvas = this.#canvas();
    canvas?.removeAttribute("tabindex");
    if (canvas !== null) this.#last.hidden = true;
    this.#layOut();
  }

  #layOut(): void {
    const shown = this.#canvas() ?? (this.#last.hidden ? null : this.#last);
    this.#stage.hidden = shown === null;
    if (shown === null) return;
    const factor = scaleFactor(this.#mode, shown, this.#room());
    this.#stage.style.width = `${shown.width * factor}px`;
    this.#stage.style.height = `${shown.height * factor}px`;
    this.view.dataset["scale"] = this.#mode;
    for (const layer of [this.#picture, this.#last]) {
      layer.style.width = `${shown.width}px`;
      layer.style.transform = `scale(${factor})`;
      layer.classList.toggle("sharp", isWhole(factor, window.devicePixelRatio));
    }
  }

  /** What is inside the view, whether or not it scrolls now. */
  #room(): { width: number; height: number } {
    const { width, height } = this.view.getBoundingClientRect();
    return { width, height };
  }

  /**
   * The library focuses its canvas whenever the machine changes its resolution; the focus goes back to where it was. A
   * picture that is only looked at never has it: keys stay the browser's.
   */
  #keepFocus(event: FocusEvent): void {
    if (event.target === this.view && !this.#viewOnly) return;
    const before = event.relatedTarget;
    if (before instanceof HTMLElement) before.focus();
    else if (this.#viewOnly && event.target instanceof HTMLElement) event.target.blur();
    else this.focus();
  }

  /** A press takes the keyboard, and a drag that leaves the picture still ends in it. */
  #pressed(event: PointerEvent): void {
    this.focus();
    if (event.target instanceof HTMLCanvasElement) event.target.setPointerCapture(event.pointerId);
  }

  #canvas(): HTMLCanvasElement | null {
    return this.#picture.querySelector("canvas");
  }
}

/** A captured pointer moves beyond the picture, to places that the machine's display does not have. */
function keepInside(event: MouseEvent): void {
  const canvas = event.target;
  if (!(canvas instanceof HTMLCanvasElement)) return;
  const inside =
    event.offsetX >= 0 && event.offsetY >= 0 && event.offsetX < canvas.width && event.offsetY < canvas.height;
  if (!inside) event.stopImmediatePropagation();
}
