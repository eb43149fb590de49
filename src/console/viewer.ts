// SPDX-License-Identifier: Apache-2.0
// What an entrance for viewers (the proxy) asks of the use cases. A viewer has no Caller: it proves itself by the token
// once, and by the session's proof from then on.
import type { Duplex } from "node:stream";
import type { Instance } from "../instances/instance.js";
import type { ChannelEndReason, Closing, Session, SessionEndReason } from "../sessions/session.js";

/** What is known of a request of a viewer. */
export interface ViewerContext {
  readonly requestId: string;
  /** The viewer's address, by the trusted proxies' word where there are any. */
  readonly clientAddress: string;
  /** Aborts when the viewer goes away. */
  readonly signal: AbortSignal;
}

/** A session just opened, with the only sight of its proof. */
export interface OpenedSession {
  readonly session: Session;
  /** 256 random bits, base64url; stored hashed. */
  readonly proof: string;
}

/** Turns a token into a session. */
export interface Redeeming {
  /**
   * Throws TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_USED, CONSOLE_TYPE_INVALID, what the agent says, LIMITED, CONSOLE_IN_USE (the
   * token then stays usable), DRAINING or DATABASE_UNAVAILABLE.
   */
  execute(token: string, context: ViewerContext): Promise<OpenedSession>;
}

/** How a session stands, for its own viewer. */
export type SessionStatus =
  | {
      readonly state: "open";
      readonly session: Session;
      /** As the inventory knows it now; undefined while it knows nothing. */
      readonly instance: Pick<Instance, "name" | "powerState"> | undefined;
      /** True while this controller is stopping: its channels will close, another one takes the next. */
      readonly draining: boolean;
      /** When it ends unless somebody types or clicks; undefined without sessions.idle_time. */
      readonly idle: IdleTime | undefined;
    }
  | { readonly state: "ended"; readonly reason: SessionEndReason };

/** What an idle session has left, in seconds. */
export interface IdleTime {
  readonly leftS: number;
  /** From so few on its viewer is to be warned. */
  readonly warnedAtS: number;
}

/** SPICE's link message, as far as it matters (spice-protocol: SpiceLinkMess). */
export interface ChannelLink {
  /** 0 for the first channel of a client, else what the server gave that one. */
  readonly connectionId: number;
  readonly type: number;
  readonly number: number;
}

/**
 * A channel that was let in and recorded. Whoever holds it reports what passes and, once, its end. The session closes it
 * by `onClosing`: the listener must then close the connection with that code; it is called at most once, also at once
 * where the session has ended meanwhile.
 */
export interface ViewerChannel {
  readonly channelId: bigint;
  readonly session: Session;
  onClosing(listener: (closing: Closing) => void): void;
  /**
   * Takes the viewer's first words and opens the display. Throws CHANNEL_TYPE_REFUSED for a type that is off, or not to be looked at,
   * INVALID_ARGUMENT where the session's first channel is not main, what the agent says, and so on; the channel must then
   * be ended with `closed`.
   */
  connect(link: ChannelLink): Promise<Duplex>;
  /** Counts what went to the machine; `input` where it was a key or the mouse. */
  toMachine(bytes: number, input: boolean): void;
  /** Counts what went to the viewer. */
  toViewer(bytes: number): void;
  /**
   * The display has ended by itself. Finds out why (waits up to 3 s for the hypervisor's word) and says what to tell
   * the viewer: INSTANCE_STOPPED, INSTANCE_CRASHED, AGENT_GONE, … or DISPLAY_CLOSED.
   */
  whyDisplayEnded(): Promise<Closing>;
  /** The connection is gone, for this reason. A second call does nothing. */
  closed(reason: ChannelEndReason): void;
}

/** What a viewer can do with a session that it can prove. */
export interface ViewerSessions {
  /** Throws SESSION_NOT_FOUND for an unknown session as for a wrong proof. */
  status(sessionId: string, proof: string): Promise<SessionStatus>;
  /** Ends it with TERMINATED, by the viewer. A second call does nothing. */
  end(sessionId: string, proof: string, context: ViewerContext): Promise<void>;
  /** Lets one more channel in: one statement. Throws SESSION_NOT_FOUND, SESSION_ENDED, LIMITED, DRAINING or DATABASE_UNAVAILABLE. */
  openChannel(sessionId: string, proof: string, context: ViewerContext): Promise<ViewerChannel>;
}

/** What a viewer made for Nova's proxy brings with each of its connections. */
export interface PresentedUrl {
  /** Empty where it brings none. */
  readonly token: string;
  /** The scheme of the page that it is; undefined for no browser. */
  readonly origin: "http" | "https" | undefined;
}

/** The way in of viewers made for Nova's proxy (console.compat_tokens). */
export interface TokenEntrance {
  /**
   * Lets one more channel into the session that the token has begun, or begins it. Throws TOKEN_INVALID, TOKEN_EXPIRED,
   * TOKEN_USED (by a viewer of ours), CONSOLE_TYPE_INVALID, ORIGIN_REFUSED, SESSION_ENDED, what the agent says, LIMITED,
   * CONSOLE_IN_USE, DRAINING or DATABASE_UNAVAILABLE.
   */
  openChannel(url: PresentedUrl, context: ViewerContext): Promise<ViewerChannel>;
}

/** Hears of what an entrance refuses by itself, so that it counts like what the use cases refuse. */
export interface RefusalNotes {
  note(error: unknown, about: { readonly sessionId?: string | undefined }, context: ViewerContext): void;
}
