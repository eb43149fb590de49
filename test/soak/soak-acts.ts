// SPDX-License-Identifier: Apache-2.0
// What people do: they ask for consoles, open them, reload, leave without a word. Each act is one thing that a person
// wants; while something is being killed it may take several attempts, but it has to succeed.
import { credentials } from "@grpc/grpc-js";
import { setMaxListeners } from "node:events";
import { messageOf } from "../../src/lib/message-of.js";
import { pause, withDeadline } from "../../src/lib/deadline.js";
import { ConsoleServiceClient } from "../../proto/gen/spicegate/console/v1/console.js";
import { SessionServiceClient } from "../../proto/gen/spicegate/session/v1/session.js";
import type { CallResult } from "../harness/grpc-client.js";
import { callUnary } from "../harness/grpc-client.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import type { ViewerSocket } from "../harness/viewer.js";
import { tokenOf, Viewer } from "../harness/viewer.js";
import type { SoakController, SoakMachine, SoakStage } from "./soak-stage.js";
import type { Tally } from "./tally.js";

/** How many people do it at the same time. */
export interface SoakActsOptions {
  readonly stage: SoakStage;
  readonly tally: Tally;
  readonly callers: number;
  readonly viewers: number;
}

interface Clients {
  readonly console: ConsoleServiceClient;
  readonly session: SessionServiceClient;
}

interface OpenConsole {
  readonly viewer: Viewer;
  readonly sockets: readonly ViewerSocket[];
}

const CALL_MS = 6_000;
const ATTEMPT_MS = 20_000;
/** Restarts overlap: an agent's longest wait, and what it waits for. */
const SUCCEEDS_MS = 45_000;
const RETRY_MS = 200;
const CALLER_PAUSE_MS = 150;
const LONGEST_VISIT_MS = 6_000;
const EAGER = { "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 500 };

/** The people. `stop` lets everybody end what they have begun; twice is harmless. */
export class SoakActs {
  readonly #options: SoakActsOptions;
  readonly #stopping = new AbortController();
  readonly #clients = new Map<SoakController, Clients>();
  /** One viewer at a time at a machine whose SPICE server sends away the one before. */
  readonly #busy = new Set<string>();
  #running: readonly Promise<void>[] = [];

  constructor(options: SoakActsOptions) {
    this.#options = options;
    setMaxListeners(0, this.#stopping.signal);
    for (const controller of options.stage.controllers) {
      const secret = credentials.createInsecure();
      this.#clients.set(controller, {
        console: new ConsoleServiceClient(controller.api, secret, EAGER),
        session: new SessionServiceClient(controller.api, secret, EAGER),
      });
    }
  }

  /** Everybody begins. */
  start(): void {
    const { callers, viewers } = this.#options;
    this.#running = [
      ...Array.from({ length: callers }, () => this.#again(() => this.#callAct())),
      ...Array.from({ length: viewers }, () => this.#again(() => this.#visitAct())),
    ];
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
    for (const { console, session } of this.#clients.values()) {
      console.close();
      session.close();
    }
  }

  async #again(act: () => Promise<void>): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await act();
      await pause(CALLER_PAUSE_MS * Math.random() * 2, this.#stopping.signal);
    }
  }

  /** Asks for a console, and then lets it be, looks its token up, or takes it back. */
  async #callAct(): Promise<void> {
    const { uuid } = any(this.#options.stage.machines);
    const token = await this.#succeed("GetSpiceConsole", (clients) => this.#getToken(clients, uuid));
    if (token === undefined) return;
    const what = Math.random();
    if (what < 0.15) {
      await this.#succeed("LookupConsoleToken", async ({ console }) => {
        const result = await callUnary(console.lookupConsoleToken.bind(console), { token }, { ms: CALL_MS });
        // Somebody may have taken it back, and it may have expired while a controller was away.
        if (!result.ok && result.failure.reason === "TOKEN_NOT_FOUND") return true;
        okOf(result);
        return true;
      });
    } else if (what < 0.25) {
      await this.#succeed("RevokeConsoleTokens", async ({ console }) =>
        okOf(await callUnary(console.revokeConsoleTokens.bind(console), { instanceUuid: uuid }, { ms: CALL_MS })),
      );
    }
  }

  /** Opens a console, looks at it, and leaves in one of the ways in which people do. */
  async #visitAct(): Promise<void> {
    const machine = any(this.#options.stage.machines);
    if (machine.real && this.#busy.has(machine.uuid)) return;
    if (machine.real) this.#busy.add(machine.uuid);
    try {
      const open = await this.#succeed("open a console", (clients) => this.#open(clients, machine));
      if (open) await this.#look(open, machine);
    } finally {
      this.#busy.delete(machine.uuid);
    }
  }

  async #look({ viewer, sockets }: OpenConsole, machine: SoakMachine): Promise<void> {
    await pause(Math.random() * LONGEST_VISIT_MS, this.#stopping.signal);
    const { tally } = this.#options;
    const how = Math.random();
    if (how < 0.35) {
      tally.note("leave", "closed");
      for (const socket of sockets) socket.webSocket.close();
    } else if (how < 0.65) {
      tally.note("leave", "vanished");
      for (const socket of sockets) socket.webSocket.terminate();
    } else if (how < 0.75) {
      await this.#terminate(viewer);
    } else {
      for (const socket of sockets) socket.webSocket.terminate();
      await this.#reload(viewer, machine);
    }
  }

  async #terminate(viewer: Viewer): Promise<void> {
    await this.#succeed("TerminateSession", async ({ session }) => {
      const terminate = session.terminateSession.bind(session);
      const result = await callUnary(terminate, { sessionId: viewer.sessionId }, { ms: CALL_MS });
      // The attempt before may have ended it without being able to say so.
      if (!result.ok && result.failure.reason === "SESSION_NOT_FOUND") return true;
      okOf(result);
      return true;
    });
  }

  /** Opens the channels of the same session again, at whichever controller; the session may be over by now. */
  async #reload(viewer: Viewer, machine: SoakMachine): Promise<void> {
    const sockets = await this.#succeed("reload", async (_clients, { proxy }) => {
      const again = new Viewer(proxy, viewer.sessionId, viewer.cookie);
      try {
        return await this.#join(again, machine);
      } catch (error) {
        const { state } = await again.status();
        if (state === "ended") return [];
        throw error;
      }
    });
    await pause(Math.random() * LONGEST_VISIT_MS, this.#stopping.signal);
    for (const socket of sockets ?? []) socket.webSocket.terminate();
  }

  async #open(clients: Clients, machine: SoakMachine): Promise<OpenConsole> {
    const token = await this.#getToken(clients, machine.uuid);
    const { proxy } = any(this.#options.stage.controllers);
    const viewer = await Viewer.open(proxy, token);
    return { viewer, sockets: await this.#join(viewer, machine) };
  }

  async #join(viewer: Viewer, { real }: SoakMachine): Promise<readonly ViewerSocket[]> {
    if (real) {
      const { main, connectionId } = await viewer.joinMain();
      return [main, await viewer.join(SPICE_CHANNEL.inputs, connectionId)];
    }
    const sockets: ViewerSocket[] = [];
    for (const type of [SPICE_CHANNEL.main, SPICE_CHANNEL.cursor]) {
      const socket = await viewer.connect();
      sockets.push(socket);
      socket.send(clientLink({ type, connectionId: type === SPICE_CHANNEL.main ? 0 : 1 }));
      await socket.read(1);
    }
    return sockets;
  }

  async #getToken({ console }: Clients, instanceUuid: string): Promise<string> {
    const get = console.getSpiceConsole.bind(console);
    return tokenOf(okOf(await callUnary(get, { instanceUuid, consoleType: "" }, { ms: CALL_MS })).url);
  }

  /** Tries until it works, at one controller after the other; counts what it took, and what did not work at all. */
  async #succeed<T>(
    what: string,
    attempt: (clients: Clients, controller: SoakController) => Promise<T>,
  ): Promise<T | undefined> {
    const end = performance.now() + SUCCEEDS_MS;
    for (let attempts = 1; ; attempts += 1) {
      const controller = any(this.#options.stage.controllers);
      const clients = this.#clients.get(controller);
      if (!clients) throw new Error("no clients");
      try {
        const late = (): Error => new Error(`no end after ${ATTEMPT_MS} ms`);
        const result = await withDeadline({ ms: ATTEMPT_MS, expired: late }, () => attempt(clients, controller));
        this.#options.tally.note(what, attempts === 1 ? "at once" : "after retries");
        return result;
      } catch (error) {
        if (performance.now() < end) {
          await pause(RETRY_MS);
          continue;
        }
        this.#options.tally.fail(what, `${controller.name}: ${messageOf(error)}`);
        return undefined;
      }
    }
  }
}

/** The response. Throws what the failure says. */
function okOf<T>(result: CallResult<T>): T {
  if (result.ok) return result.response;
  throw new Error(`${result.failure.reason}: ${result.failure.message}`);
}

function any<T>(list: readonly T[]): T {
  const one = list[Math.floor(Math.random() * list.length)];
  if (one === undefined) throw new Error("nothing to choose from");
  return one;
}
