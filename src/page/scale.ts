// SPDX-License-Identifier: Apache-2.0

/** How large the machine's picture is shown. */
export type ScaleMode = "fit" | "actual";

/** Width and height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The factor at which a picture fits into the room there is; 1 for "actual", and where there is no room yet. */
export function scaleFactor(mode: ScaleMode, picture: Size, room: Size): number {
  if (mode === "actual") return 1;
  const factor = Math.min(room.width / picture.width, room.height / picture.height);
  return Number.isFinite(factor) && factor > 0 ? factor : 1;
}

/** Whether each pixel of the picture covers a whole number of the display's: then hard edges are the sharper ones. */
export function isWhole(factor: number, pixelRatio: number): boolean {
  const pixels = factor * pixelRatio;
  return pixels >= 1 && Math.abs(pixels - Math.round(pixels)) < 0.001;
}
