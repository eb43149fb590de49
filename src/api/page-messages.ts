// SPDX-License-Identifier: Apache-2.0
import type { PageRequest } from "../db/page-token.js";
import { MAX_PAGE_SIZE, MAX_PAGE_TOKEN_LENGTH } from "../lib/limits.js";
import { invalid, parseText } from "../lib/validate.js";

/** The page to read. Throws INVALID_ARGUMENT. */
export function pageFrom(request: { readonly pageSize: number; readonly pageToken: string }): PageRequest {
  if (request.pageSize > MAX_PAGE_SIZE) throw invalid("page_size", `must be at most ${MAX_PAGE_SIZE}`);
  const token = parseText(request.pageToken, { field: "page_token", most: MAX_PAGE_TOKEN_LENGTH });
  return { size: request.pageSize, token };
}
