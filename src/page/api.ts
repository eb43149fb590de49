// SPDX-License-Identifier: Apache-2.0
// The three questions to the proxy. Each has a deadline; what cannot be reached is NETWORK, never an exception.
import type { IdleTime } from "./idle-countdown.js";
import { type Reason, reasonOf } from "./words.js";

const DEADLINE_MS = 10_000;

/** A session as redeeming names it. */
export interface Redeemed {
  readonly path: string;
  readonly name: string;
}

/** How a session stands. */
export type SessionStatus =
  | {
      readonly state: "open";
      readonly name: string;
      /** "running", "paused", …; undefined while the server does not know. */
      readonly powerState: string | undefined;
      /** Milliseconds until the session's time is up, by the server's clock; undefined without a limit. */
      readonly expiresInMs: number | undefined;
      readonly draining: boolean;
      /** Whether the machine takes no keys and no mouse from here. */
      readonly viewOnly: boolean;
      /** What the session has left without a key or the mouse, in milliseconds; undefined where that does not end it. */
      readonly idle: IdleTime | undefined;
    }
  | { readonly state: "ended"; readonly reason: Reason }
  | { readonly state: "refused"; readonly reason: Reason };

/** An answer, or why there is none. */
export type Answer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: Reason };

/** Turns a token into a session; its cookie is set by the answer. */
export async function redeem(token: string, signal: AbortSignal): Promise<Answer<Redeemed>> {
  const response = await ask("/api/sessions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token }),
    signal,
  });
  if (response === undefined) return { ok: false, reason: "NETWORK" };
  const body = await bodyOf(response);
  if (!response.ok) return { ok: false, reason: failureReason(response, body) };
  return { ok: true, value: { path: text(body["path"]) ?? "/", name: nameOf(body) } };
}

/** How the session at this path stands; `refused` with NETWORK where the server cannot be reached. */
export async function sessionStatus(path: string, signal: AbortSignal): Promise<SessionStatus> {
  const response = await ask(`${path}status`, { signal });
  if (response === undefined) return { state: "refused", reason: "NETWORK" };
  const body = await bodyOf(response);
  if (!response.ok) return { state: "refused", reason: failureReason(response, body) };
  const reason = reasonOf(text(body["reason"]) ?? "");
  if (body["state"] === "ended") return { state: "ended", reason };
  if (body["state"] !== "open") return { state: "refused", reason };
  return {
    state: "open",
    name: nameOf(body),
    powerState: text(record(body["instance"])["power_state"]),
    expiresInMs: expiresIn(text(body["expires_at"]), response.headers.get("date")),
    draining: body["draining"] === true,
    viewOnly: body["view_only"] === true,
    idle: idleTime(record(body["idle"])),
  };
}

/** Ends the session; true where the server has done so, or knows it no more. */
export async function endSession(path: string): Promise<boolean> {
  const response = await ask(path, { method: "DELETE" });
  return response !== undefined && (response.ok || response.status === 404);
}

async function ask(path: string, init: RequestInit): Promise<Response | undefined> {
  const signals = [AbortSignal.timeout(DEADLINE_MS), ...(init.signal ? [init.signal] : [])];
  try {
    return await fetch(path, { ...init, cache: "no-store", signal: AbortSignal.any(signals) });
  } catch {
    return undefined;
  }
}

async function bodyOf(response: Response): Promise<Record<string, unknown>> {
  try {
    return record(await response.json());
  } catch {
    return {};
  }
}

/** A balancer in between answers without a reason; its status alone must do then. */
function failureReason(response: Response, body: Record<string, unknown>): Reason {
  const name = text(body["reason"]);
  if (name !== undefined) return reasonOf(name, text(body["limit"]));
  return response.status >= 500 ? "NETWORK" : "PROTOCOL";
}

/** Counted by the server's clock, whatever this computer's says. */
function expiresIn(expiresAt: string | undefined, serverDate: string | null): number | undefined {
  if (expiresAt === undefined) return undefined;
  const now = serverDate === null ? Date.now() : Date.parse(serverDate);
  return Math.max(0, Date.parse(expiresAt) - now);
}

function idleTime({ seconds_left: left, warned_at: warnedAt }: Record<string, unknown>): IdleTime | undefined {
  if (typeof left !== "number" || typeof warnedAt !== "number") return undefined;
  return { leftMs: left * 1000, warnedAtMs: warnedAt * 1000 };
}

function nameOf(body: Record<string, unknown>): string {
  const instance = record(body["instance"]);
  return text(instance["name"]) ?? text(instance["uuid"]) ?? "";
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
