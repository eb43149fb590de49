// SPDX-License-Identifier: Apache-2.0

/** Rows under a heading as lines of text, each column as wide as it needs; an empty cell is shown as "-". */
export function tableOf(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heading, ...rows.map((row) => row.map((cell) => (cell === "" ? "-" : cell)))];
  const widths = heading.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  const lineOf = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return lines.map((line) => `${lineOf(line)}\n`).join("");
}

/** A moment as people and programs read it; empty where there is none. */
export function momentOf(date: Date | undefined): string {
  return date === undefined ? "" : date.toISOString().replace(/\.\d+Z$/, "Z");
}
