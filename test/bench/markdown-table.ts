// SPDX-License-Identifier: Apache-2.0

/** One row. */
export type Cells = readonly (string | number)[];

/** A table in Markdown, aligned, so that it is as readable on a terminal. */
export function markdownTable(head: Cells, rows: readonly Cells[]): string {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => String(row[column]).length)));
  const line = (row: Cells): string => `| ${row.map((cell, column) => pad(cell, widths[column])).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

function pad(cell: string | number, width = 0): string {
  return String(cell).padEnd(width);
}
