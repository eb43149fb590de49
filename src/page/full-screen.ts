// SPDX-License-Identifier: Apache-2.0

/** Chromium can hand the browser's own keys (Escape, Alt+Tab, Ctrl+W) to a page in full screen; others cannot. */
interface KeyboardLock {
  lock(): Promise<void>;
  unlock(): void;
}

/** Enters or leaves full screen; what the browser refuses stays as it was. */
export async function toggleFullScreen(): Promise<void> {
  const keyboard = (navigator as { keyboard?: KeyboardLock }).keyboard;
  try {
    if (document.fullscreenElement !== null) {
      keyboard?.unlock();
      await document.exitFullscreen();
      return;
    }
    await document.documentElement.requestFullscreen({ navigationUI: "hide" });
    await keyboard?.lock();
  } catch {
    // The button follows what the document says, so there is nothing to undo.
  }
}
