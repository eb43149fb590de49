// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { Worker } from "node:worker_threads";

/** As many as the agent has connections for questions, so that both have the same to work with. */
const WORKERS = 2;

/** libvirt in worker threads, with nothing around it: no deadlines, no reconnecting. A failure ends the process. */
export class LibvirtWorkers {
  readonly #workers: readonly Worker[];
  readonly #pending = new Map<number, (port: number) => void>();
  #lastId = 0;

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers;
    for (const worker of workers) {
      worker.on("message", ({ id, port }: { id: number; port: number }) => {
        this.#pending.get(id)?.(port);
        this.#pending.delete(id);
      });
    }
  }

  static async open(uri: string): Promise<LibvirtWorkers> {
    const file = new URL("./libvirt-worker.js", import.meta.url);
    const workers = Array.from({ length: WORKERS }, () => new Worker(file, { workerData: uri }));
    await Promise.all(workers.map((worker) => once(worker, "message")));
    return new LibvirtWorkers(workers);
  }

  /** The port of the domain's SPICE display. */
  findPort(uuid: string): Promise<number> {
    return new Promise((resolve) => {
      const id = ++this.#lastId;
      this.#pending.set(id, resolve);
      this.#workers[id % WORKERS]?.postMessage({ id, uuid });
    });
  }
}
