// SPDX-License-Identifier: Apache-2.0
// Which controllers the agent is connected to. It begins with the addresses of its configuration; the controllers tell
// it of each other. "Several controllers" in agent.proto is the specification.
import type { Peer } from "../proto/gen/spicegate/agent/v1/agent.js";
import { FORGET_PEER_MS, MAX_PEERS, PEER_DIAL_WINDOW_MS } from "../src/lib/limits.js";
import type { Part } from "../src/lib/lifecycle.js";
import { parseAddress } from "../src/lib/listen-address.js";
import type { Readiness } from "../src/telemetry/readiness.js";
import type { SessionContext } from "./control-session.js";
import type { StreamState } from "./controller-stream.js";
import { ControllerStream } from "./controller-stream.js";

/** What the streams to all controllers need. */
export interface ControllerStreamsOptions {
  /** host:port of each controller in the configuration; never dropped. */
  readonly addresses: readonly string[];
  readonly context: SessionContext;
  /** Its condition "controller" holds while at least one stream is open. */
  readonly readiness: Readiness;
  /** Between 0 and 1; picks the moment at which a learned controller is dialled. */
  readonly random?: () => number;
}

const STATES: readonly StreamState[] = [
  "idle",
  "connecting",
  "greeting",
  "open",
  "draining",
  "waiting",
  "standby",
  "stopped",
];

/** An address, and what is known of it. */
interface Entry {
  readonly stream: ControllerStream;
  readonly learned: boolean;
  /** The controllers that it leads to: the one that said Welcome, or all that a list last named with it. */
  controllerIds: readonly string[];
  /** What the controller behind it says of all; empty while the stream is not open. */
  peers: readonly Peer[];
  /** Since when the lists lack it; undefined where one names it, or there is none. */
  lackedSince?: number | undefined;
}

/** One stream to each controller, and what is known of all of them together. */
export class ControllerStreams implements Part {
  readonly #options: ControllerStreamsOptions;
  readonly #entries = new Map<string, Entry>();
  #stopped = false;

  constructor(options: ControllerStreamsOptions) {
    this.#options = options;
    for (const address of options.addresses) this.#add(address, { learned: false });
  }

  start(): void {
    for (const { stream } of this.#entries.values()) stream.start();
  }

  /** Leaves every controller in an orderly way, all at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#entries.values()].map(({ stream }) => stream.stop()));
  }

  #add(address: string, { learned }: { readonly learned: boolean }): Entry {
    const { context, random = Math.random } = this.#options;
    const stream = new ControllerStream({
      address,
      context,
      delayMs: learned ? random() * PEER_DIAL_WINDOW_MS : 0,
      onState: (state) => this.#onState(entry, state),
      onWelcome: (id) => this.#onWelcome(entry, id),
      onPeers: (peers) => this.#onPeers(entry, peers),
      onUnreached: () => this.#onUnreached(address, entry),
    });
    const entry: Entry = { stream, learned, controllerIds: [], peers: [] };
    this.#entries.set(address, entry);
    return entry;
  }

  #onState(entry: Entry, state: StreamState): void {
    if (state !== "open") this.#left(entry);
    this.#report();
  }

  /** The newer of two streams to the same controller stays: the controller has ended the older one already. */
  #onWelcome(entry: Entry, controllerId: string): void {
    entry.controllerIds = [controllerId];
    for (const other of this.#entries.values()) {
      if (other !== entry && other.controllerIds.includes(controllerId) && isOpen(other)) other.stream.standBy();
    }
    this.#arrange();
  }

  #onPeers(entry: Entry, peers: readonly Peer[]): void {
    entry.peers = peers.filter(({ address }) => this.#allows(address)).slice(0, MAX_PEERS);
    const addresses = [...new Set(entry.peers.map(({ address }) => address))];
    const named = addresses.map((address) => this.#learn(address, entry.peers));
    this.#arrange();
    for (const each of named) each?.stream.start();
    this.#judge();
  }

  /** Told addresses are judged as those of the configuration are. */
  #allows(address: string): boolean {
    const parsed = parseAddress(address);
    return parsed !== undefined && this.#options.context.credentials.allows(parsed);
  }

  /** The entry of an address that a list names; undefined where there are too many. */
  #learn(address: string, peers: readonly Peer[]): Entry | undefined {
    const entry = this.#entries.get(address) ?? this.#addLearned(address);
    // An open stream knows better than a list, which may be older than a restart.
    if (!entry || isOpen(entry)) return entry;
    entry.controllerIds = peers.filter((peer) => peer.address === address).map(({ controllerId }) => controllerId);
    return entry;
  }

  #addLearned(address: string): Entry | undefined {
    if (this.#stopped || this.#learnedCount() >= MAX_PEERS) return undefined;
    this.#options.context.log.info({ controller: address }, "told of a controller");
    return this.#add(address, { learned: true });
  }

  /** A stream is no longer open: its lists no longer count, and another address of its controller has its turn. */
  #left(entry: Entry): void {
    entry.peers = [];
    this.#judge();
    this.#arrange();
  }

  /**
   * An address stands by as long as every controller that it may lead to is connected over another one. Several are
   * named with one address where a controller was restarted, or is told a wrong address for itself.
   */
  #arrange(): void {
    if (this.#stopped) return;
    for (const entry of this.#entries.values()) {
      if (isOpen(entry)) continue;
      const { stream, controllerIds } = entry;
      if (controllerIds.length > 0 && controllerIds.every((id) => this.#isConnected(id))) stream.standBy();
      else stream.takeOver();
    }
  }

  /** Notes of each learned address since when it is missing in the lists. */
  #judge(): void {
    const lists = [...this.#entries.values()].flatMap(({ peers }) => peers);
    const named = new Set(lists.map(({ address }) => address));
    const now = this.#options.context.clock.now();
    for (const [address, entry] of this.#entries) {
      const lacks = lists.length > 0 && !named.has(address);
      entry.lackedSince = lacks ? (entry.lackedSince ?? now) : undefined;
    }
  }

  #onUnreached(address: string, { learned, stream, lackedSince }: Entry): void {
    const { context } = this.#options;
    if (!learned || lackedSince === undefined || context.clock.now() - lackedSince < FORGET_PEER_MS) return;
    context.log.info({ controller: address }, "a controller that nobody names any more is forgotten");
    this.#entries.delete(address);
    void stream.stop();
  }

  #isConnected(controllerId: string): boolean {
    return [...this.#entries.values()].some((entry) => isOpen(entry) && entry.controllerIds.includes(controllerId));
  }

  #learnedCount(): number {
    return [...this.#entries.values()].filter(({ learned }) => learned).length;
  }

  #report(): void {
    const { context, readiness } = this.#options;
    const states = [...this.#entries.values()].map(({ stream }) => stream.state);
    const count = (state: StreamState): number => states.filter((each) => each === state).length;
    for (const state of STATES) context.metrics.streams.set({ state }, count(state));
    readiness.set("controller", count("open") > 0, "no controller is connected");
  }
}

function isOpen({ stream }: Entry): boolean {
  return stream.state === "open";
}
