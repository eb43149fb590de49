// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";

const POLICY = {
  "default-src": "'none'",
  "script-src": "'self'",
  // Covers the WebSocket too.
  "connect-src": "'self'",
  // spice-html5 shows JPEG images and cursors as data: URLs, and plays video and sound from blobs.
  "img-src": "'self' data:",
  "media-src": "blob:",
  "style-src": "'self'",
  // These do not inherit from default-src.
  "base-uri": "'none'",
  "form-action": "'none'",
} as const;

/**
 * What every response carries, in lower case. `frameAncestors` are origins whose pages may frame the console. Nothing is
 * stored unless a response says otherwise.
 */
export function securityHeaders(frameAncestors: readonly string[]): Readonly<Record<string, string>> {
  return {
    "content-security-policy": policyOf(POLICY, frameAncestors),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
  };
}

/**
 * The policy of a page that we have not written: its own scripts run though they stand in it, each by its hash, and it may
 * set styles. What somebody else gets into it (spice_auto.html shows its title= as HTML) runs no more than in our page.
 */
export function foreignPagePolicy(html: string, frameAncestors: readonly string[]): string {
  const hashes = inlineScripts(html).map(
    (script) => `'sha256-${createHash("sha256").update(script).digest("base64")}'`,
  );
  const scripts = [POLICY["script-src"], "'unsafe-hashes'", ...hashes].join(" ");
  const styles = `${POLICY["style-src"]} 'unsafe-inline'`;
  return policyOf({ ...POLICY, "script-src": scripts, "style-src": styles }, frameAncestors);
}

function policyOf(directives: Readonly<Record<string, string>>, frameAncestors: readonly string[]): string {
  const all = { ...directives, "frame-ancestors": ["'self'", ...frameAncestors].join(" ") };
  return Object.entries(all)
    .map(([name, value]) => `${name} ${value}`)
    .join("; ");
}

/** The texts of script elements and of attributes such as onclick, as a browser reads them. */
function inlineScripts(html: string): readonly string[] {
  const text = html.replace(/\r\n?/g, "\n");
  const elements = text.matchAll(/<script\b[^>]*>(.*?)<\/script\s*>/gis);
  const attributes = text.matchAll(/\son[a-z]+="([^"]*)"/gi);
  return [...new Set([...elements, ...attributes].map(([, script = ""]) => script))];
}
