// SPDX-License-Identifier: Apache-2.0
// The combinations that a browser or its operating system keeps for itself, so that a menu has to send them.

/** One entry of the menu. */
export interface KeyCombination {
  /** As it is printed on keyboards, and what a screen reader says. */
  readonly label: string;
  /** KeyboardEvent.code of each key: pressed in this order, let go in reverse. */
  readonly codes: readonly string[];
}

/** The one that has a button of its own. */
export const CTRL_ALT_DEL: KeyCombination = { label: "Ctrl+Alt+Del", codes: ["ControlLeft", "AltLeft", "Delete"] };

/** The menu, in groups. */
export const KEY_COMBINATIONS: readonly (readonly KeyCombination[])[] = [
  [CTRL_ALT_DEL, { label: "Ctrl+Alt+Backspace", codes: ["ControlLeft", "AltLeft", "Backspace"] }],
  [
    { label: "Alt+Tab", codes: ["AltLeft", "Tab"] },
    { label: "Alt+F4", codes: ["AltLeft", "F4"] },
    { label: "Ctrl+W", codes: ["ControlLeft", "KeyW"] },
    { label: "Super (Windows key)", codes: ["MetaLeft"] },
    { label: "Print Screen", codes: ["PrintScreen"] },
    { label: "Escape", codes: ["Escape"] },
  ],
  [1, 2, 3, 4, 5, 6, 7].map((number) => ({
    label: `Ctrl+Alt+F${number}`,
    codes: ["ControlLeft", "AltLeft", `F${number}`],
  })),
];
