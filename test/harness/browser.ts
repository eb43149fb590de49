// SPDX-License-Identifier: Apache-2.0
// Debian's Chromium, and what a person sees of a console in it.
import type { Browser, BrowserContext, ConsoleMessage, Page } from "playwright-core";
import { chromium } from "playwright-core";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { waitUntil } from "../../demo/wait-until.js";

const CHROMIUM = "/usr/bin/chromium";
const STARTS_MS = 60_000;
const CONNECTS_MS = 30_000;
const CLICKS_MS = 5_000;
/** One printed character lights some ten pixels at least; a picture that stands still changes by none. */
const CHARACTER_PIXELS = 10;
const OUR_SCREEN = "#picture canvas";

/** Starts the browser. It trusts what shows one of these public keys in its chain: SHA-256 of the key, as base64. */
export function launchBrowser(trustedKeys: readonly string[] = []): Promise<Browser> {
  // As root Chromium refuses to start with its sandbox.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  if (trustedKeys.length > 0) args.push(`--ignore-certificate-errors-spki-list=${trustedKeys.join(",")}`);
  return chromium.launch({ executablePath: CHROMIUM, args, timeout: STARTS_MS });
}

/** A profile of its own: cookies and all. */
export function newProfile(browser: Browser): Promise<BrowserContext> {
  return browser.newContext({ viewport: { width: 1_024, height: 768 } });
}

/** What a person sees of a console. */
export class ConsolePage {
  readonly page: Page;
  /** What the browser's error log holds. */
  readonly errors: string[] = [];

  readonly #screen: string;

  private constructor(page: Page, screen: string) {
    this.page = page;
    this.#screen = screen;
    page.on("pageerror", (error) => this.errors.push(String(error)));
    page.on("console", (message: ConsoleMessage) => {
      if (message.type() === "error") this.errors.push(message.text());
    });
    page.on("dialog", (dialog) => {
      this.errors.push(`a dialog of the browser: ${dialog.message()}`);
      void dialog.dismiss();
    });
  }

  /** A new tab. `screen` selects the machine's screen, where the page is not ours. */
  static async open(profile: BrowserContext, screen = OUR_SCREEN): Promise<ConsolePage> {
    return new ConsolePage(await profile.newPage(), screen);
  }

  /** Opens a console URL and waits until the machine's screen is there. */
  async show(url: string): Promise<void> {
    await this.page.goto(url);
    await this.is("connected");
  }

  /** Waits for a state of the page. */
  async is(state: string, ms = CONNECTS_MS): Promise<void> {
    await this.page.locator(`body[data-state="${state}"]`).waitFor({ state: "attached", timeout: ms });
  }

  /** Opens a console URL and waits until a demo machine's banner is there, and not its BIOS. */
  async showBanner(url: string): Promise<void> {
    await this.show(url);
    await this.banner();
  }

  /** Waits for the banner of a demo machine, which is the one screen that is blue. */
  async banner(ms = CONNECTS_MS): Promise<void> {
    const shown = (): Promise<boolean> => this.page.evaluate<boolean>(isBlue(this.#screen));
    await waitUntil(shown, { ms, what: "the machine's banner" });
  }

  /** Waits until so many pixels of the machine's screen are lit, or any number above it. */
  async lights(pixels: number, ms = CONNECTS_MS): Promise<number> {
    let lit = 0;
    const enough = async (): Promise<boolean> => (lit = await this.litPixels()) >= pixels;
    await waitUntil(enough, { ms, what: `${pixels} lit pixels` });
    return lit;
  }

  /** Types, and waits until the screen shows it. */
  async typeAndSee(text: string): Promise<void> {
    const before = await this.litPixels();
    await this.focusScreen();
    for (const key of text) await this.page.keyboard.press(key, { delay: 20 });
    await this.lights(before + CHARACTER_PIXELS * text.length);
  }

  /** Gives the machine the keyboard, as a click on its screen does. */
  async focusScreen(): Promise<void> {
    await this.page.locator(this.#screen).click({ position: { x: 5, y: 5 }, timeout: CLICKS_MS });
  }

  /** How many pixels of the machine's screen are not dark. */
  litPixels(): Promise<number> {
    return this.page.evaluate<number>(litPixels(this.#screen));
  }

  /** Keeps a picture of the page for people, where SCREENSHOTS names a folder. */
  async picture(name: string): Promise<void> {
    const folder = process.env["SCREENSHOTS"];
    if (folder === undefined) return;
    mkdirSync(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `${name}.png`) });
  }

  async close(): Promise<void> {
    await this.page.close();
  }
}

// As text, since it runs in the browser, whose types are not known here.
const pixels = (screen: string): string => `[...document.querySelectorAll(${JSON.stringify(screen)})].map((canvas) =>
  canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data)`;

const litPixels = (screen: string): string => `(() => {
  let lit = 0;
  for (const data of ${pixels(screen)}) {
    for (let at = 0; at < data.length; at += 4) if (data[at] + data[at + 1] + data[at + 2] > 300) lit += 1;
  }
  return lit;
})()`;

// Nearly all of it: a picture comes in parts, in any order, and what one part of the BIOS's lit would be counted as ours.
const isBlue = (screen: string): string => `${pixels(screen)}.some((data) => {
  let blue = 0;
  for (let at = 0; at < data.length; at += 4) if (data[at] < 20 && data[at + 1] < 20 && data[at + 2] > 100) blue += 1;
  return blue > 0.9 * (data.length / 4);
})`;
