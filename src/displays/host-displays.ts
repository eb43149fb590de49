// SPDX-License-Identifier: Apache-2.0
import type { SpiceEndpoint } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { MAX_OPENING_PER_INSTANCE } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import type { Display, Displays, DisplayTarget, OpenDisplayOptions } from "./display.js";

/** How a host's displays are reached: brought by its agent, or dialled. */
export type DataPath = "agent" | "direct";

/** The ways, and whose is which. */
export interface HostDisplaysOptions {
  readonly paths: Readonly<Record<DataPath, Displays>>;
  readonly pathOf: (host: string) => DataPath;
}

/** Displays of every host, each by its host's way. */
export class HostDisplays implements Displays {
  readonly #options: HostDisplaysOptions;
  /** How many displays of each instance are being opened. */
  readonly #opening = new Map<string, number>();

  constructor(options: HostDisplaysOptions) {
    this.#options = options;
  }

  /** See Displays. LIMITED where a machine is slower to open its display than viewers come. */
  async open(target: DisplayTarget, options: OpenDisplayOptions): Promise<Display> {
    const { instanceUuid, host } = target;
    const before = this.#opening.get(instanceUuid) ?? 0;
    if (before >= MAX_OPENING_PER_INSTANCE) {
      throw new ServiceError("LIMITED", "too many displays of the instance are being opened; try again");
    }
    this.#opening.set(instanceUuid, before + 1);
    try {
      return await this.#pathTo(host).open(target, options);
    } finally {
      this.#doneWith(instanceUuid);
    }
  }

  /** See Displays. */
  requireReachable(host: string, endpoint: SpiceEndpoint): void {
    this.#pathTo(host).requireReachable(host, endpoint);
  }

  #pathTo(host: string): Displays {
    const { paths, pathOf } = this.#options;
    return paths[pathOf(host)];
  }

  #doneWith(instanceUuid: string): void {
    const left = (this.#opening.get(instanceUuid) ?? 0) - 1;
    if (left > 0) this.#opening.set(instanceUuid, left);
    else this.#opening.delete(instanceUuid);
  }
}
