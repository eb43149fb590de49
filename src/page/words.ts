// SPDX-License-Identifier: Apache-2.0
// Every reason in words: what has happened, and what the person can do next. The reasons are the ones that the server
// gives (in JSON and in close codes) and the page's own.

/**
 * What follows from a reason: `wait` – it passes, the page tries again by itself; `ask` – trying again may help once the
 * person has done something, or decides so; `over` – only a new console URL helps.
 */
export type Next = "wait" | "ask" | "over";

/** A reason in words. */
export interface Words {
  readonly title: string;
  /** One or two sentences; the last one says what to do. */
  readonly text: string;
  readonly next: Next;
  /** What the button says; where there is one and "Try again" does not fit. */
  readonly action?: string;
}

const NEW_URL = "Request a new console URL to connect again.";
const SOON = "This usually passes within a few seconds.";

const WORDS = {
  // The token.
  NO_TOKEN: {
    title: "This page needs a console URL",
    text: "Consoles are opened by the complete URL that your cloud platform gives you for a machine. Request one and open it here.",
    next: "over",
  },
  TOKEN_USED: {
    title: "This URL has been used already",
    text: `A console URL opens once. ${NEW_URL}`,
    next: "over",
  },
  TOKEN_EXPIRED: {
    title: "This URL has expired",
    text: `Console URLs are valid for a short time only. ${NEW_URL}`,
    next: "over",
  },
  TOKEN_INVALID: {
    title: "This URL is not valid",
    text: "It may be incomplete, or it was revoked. Check that you have copied all of it, or request a new one.",
    next: "over",
  },
  CONSOLE_TYPE_INVALID: {
    title: "This URL is for another kind of viewer",
    text: "It cannot be opened in a browser. Request a URL of the type “spice-html5”.",
    next: "over",
  },
  COOKIES_REFUSED: {
    title: "Your browser did not keep this session",
    text: "Console sessions need a cookie of this site. Allow cookies here, then request a new console URL.",
    next: "over",
  },
  // The machine.
  INSTANCE_NOT_RUNNING: {
    title: "The machine is not running",
    text: "There is no screen to show while it is off. Start the machine, then try again.",
    next: "ask",
  },
  INSTANCE_NOT_READY: {
    title: "The machine is not ready yet",
    text: "It is still being prepared. Wait a moment, then try again.",
    next: "ask",
  },
  INSTANCE_BUSY: {
    title: "The machine is busy",
    text: "It is being moved or deleted. Wait until that is done, then try again.",
    next: "ask",
  },
  INSTANCE_NOT_FOUND: {
    title: "The machine does not exist any more",
    text: "It may have been deleted. Choose another machine.",
    next: "over",
  },
  TARGET_CHANGED: {
    title: "The machine’s display has moved",
    text: `It was restarted or moved since this URL was made. ${NEW_URL}`,
    next: "over",
  },
  NO_SPICE_DISPLAY: {
    title: "The machine has no SPICE display",
    text: "It was set up without one, so there is no screen to show. Ask whoever manages the machine to add one.",
    next: "over",
  },
  SPICE_DISABLED: {
    title: "Consoles are switched off on this host",
    text: "Ask your administrator about the host that the machine is on.",
    next: "over",
  },
  HOST_LACKS_SPICE: {
    title: "The machine’s host cannot show consoles",
    text: "It has no support for SPICE displays. Ask your administrator.",
    next: "over",
  },
  NO_NETWORK_DISPLAY: {
    title: "The machine’s display cannot be reached",
    text: "It does not listen on the network, which this way of connecting needs. Ask your administrator.",
    next: "over",
  },
  // What passes.
  AGENT_UNAVAILABLE: { title: "The machine’s host cannot be reached", text: SOON, next: "wait" },
  AGENT_TIMEOUT: { title: "The machine’s host does not answer", text: SOON, next: "wait" },
  AGENT_GONE: { title: "The connection to the machine’s host was lost", text: SOON, next: "wait" },
  HYPERVISOR_UNAVAILABLE: {
    title: "The machine’s host is not ready",
    text: `Its hypervisor does not answer. ${SOON}`,
    next: "wait",
  },
  TARGET_REFUSED: { title: "The machine’s display did not answer", text: SOON, next: "wait" },
  DATABASE_UNAVAILABLE: {
    title: "The console service is not available",
    text: `A part of it does not answer. ${SOON}`,
    next: "wait",
  },
  INVENTORY_INCOMPLETE: { title: "The console service is starting", text: SOON, next: "wait" },
  DRAINING: { title: "The console server is restarting", text: "Another one takes over in a moment.", next: "wait" },
  CONTROLLER_DRAINING: {
    title: "The console server is restarting",
    text: "Another one takes over in a moment.",
    next: "wait",
  },
  INSTANCE_MOVED: {
    title: "The machine has moved to another host",
    text: "It keeps running; its screen comes back in a moment.",
    next: "wait",
  },
  LIMITED: { title: "Too many connections", text: "The console service is at its limit. Wait a moment.", next: "wait" },
  INSTANCE_FULL: {
    title: "Too many consoles of this machine are open",
    text: "Wait until one of them is closed, then try again.",
    next: "ask",
  },
  CALLER_FULL: {
    title: "You have too many consoles open",
    text: "End one that you no longer need, with “End session”, then try again. Those whose page was closed end by themselves soon.",
    next: "ask",
  },
  CONTROLLER_FULL: {
    title: "The console server is full",
    text: "It has as many viewers as it can serve. Wait a moment, then try again.",
    next: "ask",
  },
  ADDRESS_BUSY: {
    title: "Too many consoles are being opened",
    text: "Too many come from your network at once. The page tries again by itself.",
    next: "wait",
  },
  CONSOLE_IN_USE: {
    title: "Somebody else is using this console",
    text: "This machine’s console is open to one viewer at a time. Wait until they have left, then try again.",
    next: "ask",
  },
  NETWORK: {
    title: "The connection was lost",
    text: "The console server cannot be reached. Check your network connection.",
    next: "wait",
  },
  CONNECT_TIMEOUT: { title: "The console does not answer", text: SOON, next: "wait" },
  INTERNAL: {
    title: "Something went wrong",
    text: "The console service met an unexpected error. If this stays, tell your administrator.",
    next: "wait",
  },
  // Ends of a session.
  ENDED_BY_YOU: { title: "You ended this session", text: `The machine keeps running. ${NEW_URL}`, next: "over" },
  TERMINATED: {
    title: "This session was ended",
    text: `Somebody who may do so ended it. The machine keeps running. ${NEW_URL}`,
    next: "over",
  },
  INSTANCE_STOPPED: {
    title: "The machine was shut down",
    text: "Its console closed with it. Start the machine, then request a new console URL.",
    next: "over",
  },
  INSTANCE_CRASHED: {
    title: "The machine has crashed",
    text: "Its console closed with it. Start the machine again, then request a new console URL.",
    next: "over",
  },
  INSTANCE_DELETED: {
    title: "The machine was deleted",
    text: "Its console closed with it. You can close this page.",
    next: "over",
  },
  SESSION_EXPIRED: {
    title: "The session’s time is up",
    text: `Console sessions are limited in time; the machine keeps running. ${NEW_URL}`,
    next: "over",
  },
  IDLE: {
    title: "Ended because nobody was typing",
    text: `The session was closed after a long time without input; the machine keeps running. ${NEW_URL}`,
    next: "over",
  },
  TAKEN_OVER: {
    title: "Someone else has opened this console",
    text: `A newer session took the machine’s display over. ${NEW_URL}`,
    next: "over",
  },
  ABANDONED: {
    title: "The session has ended",
    text: `It was left without a connection for too long. ${NEW_URL}`,
    next: "over",
  },
  SESSION_ENDED: { title: "The session has ended", text: NEW_URL, next: "over" },
  SESSION_NOT_FOUND: {
    title: "There is no such session",
    text: `It has ended, or it was opened in another browser. ${NEW_URL}`,
    next: "over",
  },
  DISPLAY_CLOSED: {
    title: "The machine closed the connection",
    text: "Another viewer may have connected: a machine shows its screen to one at a time. Reconnecting disconnects the other one.",
    next: "ask",
    action: "Reconnect",
  },
  // Refusals.
  CHANNEL_TYPE_REFUSED: {
    title: "This kind of connection is switched off",
    text: "The console service does not let the viewer show the screen or use the keyboard. Ask your administrator.",
    next: "over",
  },
  ORIGIN_REFUSED: {
    title: "Consoles cannot be opened from this address",
    text: "The console service does not accept connections from the site in your address bar. Ask your administrator to allow it.",
    next: "over",
  },
  PERMISSION_DENIED: { title: "You may not open this console", text: "Ask your administrator.", next: "over" },
  PROTOCOL: {
    title: "The machine’s display could not be opened",
    text: "The machine and this page do not understand each other. If trying again does not help, tell your administrator.",
    next: "ask",
  },
} as const satisfies Readonly<Record<string, Words>>;

/** A reason that the page has words for. */
export type Reason = keyof typeof WORDS;

/** The words of a reason. */
export function wordsOf(reason: Reason): Words {
  return WORDS[reason];
}

/** What a person is told who may only look at the machine. */
export const VIEW_ONLY = {
  badge: "View only",
  hint: "You can look at this machine. Keys and mouse do not reach it.",
  connected: "Connected, view only. Keys and mouse do not reach the machine.",
  idle: "This session is about to end: nobody can type in it. Request a new console URL to go on looking.",
  idleCount: "Nobody can type here: this session ends in",
} as const;

/** The limits that have words of their own, by the names of their settings. */
const LIMITS: ReadonlyMap<string, Reason> = new Map([
  ["max_per_instance", "INSTANCE_FULL"],
  ["max_per_caller", "CALLER_FULL"],
  ["max_per_controller", "CONTROLLER_FULL"],
  ["sessions_per_address", "ADDRESS_BUSY"],
  ["failed_redemptions_per_address", "ADDRESS_BUSY"],
]);

/**
 * Whatever the server calls it, as a reason that there are words for; PROTOCOL where there are none. `limit` says of
 * LIMITED which one.
 */
export function reasonOf(name: string, limit?: string): Reason {
  if (name === "LIMITED" && limit !== undefined) return LIMITS.get(limit) ?? name;
  return Object.hasOwn(WORDS, name) ? (name as Reason) : "PROTOCOL";
}
