// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_PAGE_TOKEN_LENGTH } from "../lib/limits.js";
import { invalid } from "../lib/validate.js";

/** One page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** Which page to read. */
export interface PageRequest {
  /** 0: the default of 100; more than 1,000 is taken as 1,000. */
  readonly size: number;
  /** Empty, or the token of the page before, which was asked for with the same filters. */
  readonly token: string;
}

/** How many rows a page has. */
export function pageSize(request: PageRequest): number {
  return request.size === 0 ? DEFAULT_PAGE_SIZE : Math.min(request.size, MAX_PAGE_SIZE);
}

/** What the keys of a list look like. A token is no secret, so anybody can make one: its key goes into a statement. */
export type PageKeys = (key: string) => boolean;

/** Keys that are numbers, as far as a bigint of Postgres reaches. */
export const NUMBER_KEYS: PageKeys = (key) => /^[0-9]{1,18}$/.test(key);

/** Keys that are names: anything that Postgres takes for a text. */
export const NAME_KEYS: PageKeys = (key) => !key.includes("\0");

/** The key after which the page begins; undefined for the first. INVALID_ARGUMENT for a token of another list. */
export function pageStart(request: PageRequest, filters: object, keys: PageKeys): string | undefined {
  const { token } = request;
  if (token === "") return undefined;
  const text = Buffer.from(token.slice(0, MAX_PAGE_TOKEN_LENGTH), "base64url").toString("utf8");
  const mark = fingerprint(filters);
  const key = text.slice(mark.length);
  if (token.length > MAX_PAGE_TOKEN_LENGTH || !text.startsWith(mark) || !keys(key)) {
    throw invalid("page_token", "must be the next_page_token of a page with the same filters");
  }
  return key;
}

/** A page from up to one row more than it has; that row only tells that there is another page. */
export function pageOf<T>(
  rows: readonly T[],
  request: PageRequest,
  filters: object,
  keyOf: (row: T) => string,
): Page<T> {
  const items = rows.slice(0, pageSize(request));
  const last = items.at(-1);
  if (rows.length === items.length || last === undefined) return { items, nextPageToken: "" };
  return { items, nextPageToken: Buffer.from(fingerprint(filters) + keyOf(last)).toString("base64url") };
}

/** Sixteen characters that stand for the filters, so that a token is not used with others by mistake. */
function fingerprint(filters: object): string {
  const set = Object.entries(filters).filter(([, value]) => value !== undefined);
  return createHash("sha256").update(JSON.stringify(set.sort())).digest("hex").slice(0, 16);
}
