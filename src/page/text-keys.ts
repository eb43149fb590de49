// SPDX-License-Identifier: Apache-2.0
// Text as key strokes. A console has no other way in, so the machine's keyboard layout must be the one assumed here: US.

/** One key, with or without Shift. */
export interface Stroke {
  /** KeyboardEvent.code of the key. */
  readonly code: string;
  readonly shift: boolean;
}

/** What typing a text takes. */
export interface TypedText {
  readonly strokes: readonly Stroke[];
  /** The characters that a US keyboard lacks, each once, in order of appearance. They are left out of the strokes. */
  readonly untypable: readonly string[];
}

const STROKES: ReadonlyMap<string, Stroke> = new Map([
  ...keys("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", (letter) => `Key${letter.toUpperCase()}`),
  ...keys("1234567890", "!@#$%^&*()", (digit) => `Digit${digit}`),
  ...pair("-_", "Minus"),
  ...pair("=+", "Equal"),
  ...pair("[{", "BracketLeft"),
  ...pair("]}", "BracketRight"),
  ...pair("\\|", "Backslash"),
  ...pair(";:", "Semicolon"),
  ...pair("'\"", "Quote"),
  ...pair("`~", "Backquote"),
  ...pair(",<", "Comma"),
  ...pair(".>", "Period"),
  ...pair("/?", "Slash"),
  [" ", { code: "Space", shift: false }],
  ["\t", { code: "Tab", shift: false }],
  ["\n", { code: "Enter", shift: false }],
]);

/** The strokes of a text; every kind of line end is one Enter. */
export function strokesOf(text: string): TypedText {
  const strokes: Stroke[] = [];
  const untypable = new Set<string>();
  for (const character of text.replace(/\r\n?/gu, "\n")) {
    const stroke = STROKES.get(character);
    if (stroke === undefined) untypable.add(character);
    else strokes.push(stroke);
  }
  return { strokes, untypable: [...untypable] };
}

function keys(plain: string, shifted: string, code: (character: string) => string): [string, Stroke][] {
  return Array.from(plain).flatMap((character, index) => pair(character + (shifted[index] ?? ""), code(character)));
}

function pair(characters: string, code: string): [string, Stroke][] {
  return Array.from(characters).map((character, index) => [character, { code, shift: index === 1 }]);
}
