// SPDX-License-Identifier: Apache-2.0

/**
 * What every response carries, in lower case. `frameAncestors` are origins whose pages may frame the console. Nothing is
 * stored unless a response says otherwise.
 */
export function securityHeaders(frameAncestors: readonly string[]): Readonly<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    // Covers the WebSocket too.
    "connect-src 'self'",
    // spice-html5 shows JPEG images and cursors as data: URLs, and plays video and sound from blobs.
    "img-src 'self' data:",
    "media-src blob:",
    "style-src 'self'",
    // These do not inherit from default-src.
    "base-uri 'none'",
    "form-action 'none'",
    ["frame-ancestors 'self'", ...frameAncestors].join(" "),
  ];
  return {
    "content-security-policy": policy.join("; "),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
  };
}
