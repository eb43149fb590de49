// SPDX-License-Identifier: Apache-2.0

/** The entries of a header that holds a list, in its order, whether it came once or several times; none without it. */
export function headerList(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(",") : (header ?? "");
  return text === "" ? [] : text.split(",").map((entry) => entry.trim());
}
