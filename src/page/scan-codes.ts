// SPDX-License-Identifier: Apache-2.0
// Physical keys as a PC keyboard sends them (scan code set 1). The browser's KeyboardEvent.code names the key by its
// place, whatever is printed on it, so the machine's own keyboard layout decides what it means.

/** 0xe0 in the high byte marks an extended key. */
const EXTENDED = 0xe000;
const RELEASED = 0x80;
/** The one key whose code has more than two bytes. */
const PAUSE = 0xe11d45;

const SCAN_CODES: ReadonlyMap<string, number> = new Map([
  ...row(0x01, "Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace"),
  ...row(0x0f, "Tab KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter ControlLeft"),
  ...row(0x1e, "KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote ShiftLeft Backslash"),
  ...row(
    0x2c,
    "KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight NumpadMultiply AltLeft Space CapsLock",
  ),
  ...row(0x3b, "F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NumLock ScrollLock Numpad7 Numpad8 Numpad9 NumpadSubtract"),
  ...row(0x4b, "Numpad4 Numpad5 Numpad6 NumpadAdd Numpad1 Numpad2 Numpad3 Numpad0 NumpadDecimal"),
  ...row(0x56, "IntlBackslash F11 F12 NumpadEqual"),
  ...row(0x64, "F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23"),
  ["KanaMode", 0x70],
  ["IntlRo", 0x73],
  ["F24", 0x76],
  ["Convert", 0x79],
  ["NonConvert", 0x7b],
  ["IntlYen", 0x7d],
  ["NumpadComma", 0x7e],
  ["NumpadEnter", EXTENDED | 0x1c],
  ["ControlRight", EXTENDED | 0x1d],
  ["AudioVolumeMute", EXTENDED | 0x20],
  ["AudioVolumeDown", EXTENDED | 0x2e],
  ["AudioVolumeUp", EXTENDED | 0x30],
  ["NumpadDivide", EXTENDED | 0x35],
  ["PrintScreen", EXTENDED | 0x37],
  ["AltRight", EXTENDED | 0x38],
  ...row(EXTENDED | 0x47, "Home ArrowUp PageUp"),
  ["ArrowLeft", EXTENDED | 0x4b],
  ["ArrowRight", EXTENDED | 0x4d],
  ...row(EXTENDED | 0x4f, "End ArrowDown PageDown Insert Delete"),
  ...row(EXTENDED | 0x5b, "MetaLeft MetaRight ContextMenu"),
  ["Pause", PAUSE],
]);

/** The scan code of a KeyboardEvent.code; undefined for a key that no PC keyboard has. */
export function scanCode(code: string): number | undefined {
  return SCAN_CODES.get(code);
}

/** A scan code as SPICE carries it: the bytes of the keyboard in one number, the first one lowest. */
export function wireCode(scan: number, down: boolean): number {
  const up = down ? 0 : RELEASED;
  if (scan === PAUSE) return 0xe1 | ((0x1d | up) << 8) | ((0x45 | up) << 16);
  if (scan >= EXTENDED) return 0xe0 | (((scan & 0xff) | up) << 8);
  return scan | up;
}

function row(first: number, codes: string): [string, number][] {
  return codes.split(" ").map((code, index) => [code, first + index]);
}
