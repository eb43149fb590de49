// SPDX-License-Identifier: Apache-2.0
// Which web pages may act on a session. Cookies alone do not tell: another port of this host is the same site, and a
// browser sends our cookie from there. So the full origin decides: scheme, host and port.
import { isHost } from "../http/trusted-proxies.js";

const ORIGIN = /^(https?):\/\/(.*)$/is;

/** What the rule goes by. */
export interface OriginRuleOptions {
  /** Origins beside the console's own, as the settings have checked them. */
  readonly allowed: readonly string[];
  /** True where foreign pages may frame the console: then the cookie travels everywhere, and a request must say where it comes from. */
  readonly required: boolean;
}

/** Decides by the Origin header. It remembers nothing of a request, so that invented hosts cost no memory. */
export class OriginRule {
  readonly #allowed: ReadonlySet<string>;
  readonly #required: boolean;

  constructor({ allowed, required }: OriginRuleOptions) {
    this.#allowed = new Set(allowed);
    this.#required = required;
  }

  /** True where `header` is the origin under which the request found us, or a listed one; without a header it is no browser. */
  allows(header: string | undefined, own: { readonly scheme: string; readonly host: string }): boolean {
    if (header === undefined) return !this.#required;
    const origin = parseOrigin(header);
    if (origin === undefined) return false;
    return this.#allowed.has(origin) || origin === parseOrigin(`${own.scheme}://${own.host}`);
  }
}

/** An origin in the one form that browsers send: lower case, without the scheme's own port. Undefined for all else, "null" too. */
export function parseOrigin(text: string): string | undefined {
  const [, scheme, host] = ORIGIN.exec(text) ?? [];
  if (scheme === undefined || host === undefined || !isHost(host) || !URL.canParse(text)) return undefined;
  return new URL(text).origin;
}

/** The scheme of an Origin header that the rule has let in; undefined without one. */
export function schemeOfOrigin(header: string | undefined): "http" | "https" | undefined {
  if (header === undefined) return undefined;
  return /^https:/i.test(header) ? "https" : "http";
}
