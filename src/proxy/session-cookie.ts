// SPDX-License-Identifier: Apache-2.0
import { isProof } from "../sessions/session-proof.js";

/** The cookie that proves a session. Its path keeps the sessions of two tabs apart. */
export const SESSION_COOKIE = "spicegate_session";

/** What the cookie says and where it may go. */
export interface SessionCookie {
  readonly sessionId: string;
  readonly proof: string;
  /** Whether the viewer came by https. */
  readonly secure: boolean;
  /** Whether pages of other sites may frame the console. */
  readonly framed: boolean;
}

/**
 * The proof in a Cookie header; undefined where there is none, or two that differ: somebody else has set one of them.
 * Parts that are not `name=value`, or no proof by their shape, are passed over.
 */
export function readProof(header: string | undefined): string | undefined {
  const proofs = new Set<string>();
  for (const part of header?.split(";") ?? []) {
    const at = part.indexOf("=");
    if (at < 0 || part.slice(0, at).trim() !== SESSION_COOKIE) continue;
    const value = part.slice(at + 1).trim();
    if (isProof(value)) proofs.add(value);
  }
  const [proof, ...others] = proofs;
  return others.length > 0 ? undefined : proof;
}

/** The Set-Cookie header. It ends with the browser, or with the session, whichever is first. */
export function writeSessionCookie({ sessionId, proof, secure, framed }: SessionCookie): string {
  const cookie = `${SESSION_COOKIE}=${proof}; Path=/s/${sessionId}; HttpOnly`;
  // In a frame of another site a browser sends only this kind, each framing site with its own.
  if (framed) return `${cookie}; SameSite=None; Secure; Partitioned`;
  return `${cookie}; SameSite=Strict${secure ? "; Secure" : ""}`;
}
