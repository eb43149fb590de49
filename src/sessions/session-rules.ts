// SPDX-License-Identifier: Apache-2.0
// What sessions are subject to, and what is said to whoever comes up against it. A limit of 0 is none.
import { ServiceError } from "../lib/service-error.js";

/** How long sessions may last. */
export interface SessionTimes {
  /** After so many seconds a session ends whatever happens; 0 = never. */
  readonly maxLengthS: number;
  /** Whether a session ends with the time of its token (Nova's enforce_session_timeout). */
  readonly endsWithToken: boolean;
  /** For so many seconds a session without channels can be joined again. */
  readonly rejoinS: number;
  /** After so many seconds without input a session ends; 0 = never. */
  readonly idleS: number;
}

/**
 * What happens when a console is opened whose machine has a viewer: both see it, the newer one is refused, or the older
 * one's session ends.
 */
export type SecondViewer = "share" | "deny" | "take-over";

/** What everything they know of is subject to. */
export interface SessionRules extends SessionTimes {
  /** Sessions of one instance that may be open. */
  readonly maxPerInstance: number;
  /** Sessions that may be open of the URLs that one caller asked for. */
  readonly maxPerCaller: number;
  readonly secondViewer: SecondViewer;
}

/** The limits of numbers, by the names of their settings. */
export type NumberLimit = "max_per_instance" | "max_per_caller" | "max_per_controller" | "max_channels";

const WORDS: Readonly<Record<NumberLimit, string>> = {
  max_per_instance: "the machine has as many open consoles as it may have; try again when one of them is closed",
  max_per_caller:
    "whoever asked for this link has as many open consoles as one may have; end one of them, then try again",
  max_per_controller: "this controller has as many open consoles as it may have; try again",
  max_channels: "the session has as many channels as it may have",
};

/** LIMITED, with the limit's name and number for programs. */
export function limited(limit: NumberLimit, most: number): ServiceError {
  return new ServiceError("LIMITED", WORDS[limit], { metadata: { limit, most: String(most) } });
}

/** Another viewer has the console, and the second one is to be refused. */
export function consoleInUse(): ServiceError {
  const message = "the console is in use by another viewer; try again once that one has left";
  return new ServiceError("CONSOLE_IN_USE", message, { metadata: { limit: "second_viewer" } });
}
