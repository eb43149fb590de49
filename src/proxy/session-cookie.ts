// SPDX-License-Identifier: Apache-2.0
import { isProof } from "../sessions/session-proof.js";

/** The cookie that proves a session. Its path keeps the sessions of two tabs apart. */
const SESSION_COOKIE = "spicegate_session";

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
  const proofs = new Set(cookiesNamed(SESSION_COOKIE, header).filter(isProof));
  const [proof, ...others] = proofs;
  return others.length > 0 ? undefined : proof;
}

/** The values of a cookie in a Cookie header, in its order. Parts that are not `name=value` are passed over. */
export function cookiesNamed(name: string, header = ""): readonly string[] {
  return header.split(";").flatMap((part) => {
    const at = part.indexOf("=");
    return at >= 0 && part.slice(0, at).trim() === name ? [part.slice(at + 1).trim()] : [];
  });
}

/** The Set-Cookie header. It ends with the browser, or with the session, whichever is first. */
export function writeSessionCookie({ sessionId, proof, secure, framed }: SessionCookie): string {
  const cookie = `${SESSION_COOKIE}=${proof}; Path=/s/${sessionId}; HttpOnly`;
  // In a frame of another site a browser sends only this kind, each framing site with its own.
  if (framed) return `${cookie}; SameSite=None; Secure; Partitioned`;
  return `${cookie}; SameSite=Strict${secure ? "; Secure" : ""}`;
}
