// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import type { Hello } from "../proto/gen/spicegate/agent/v1/agent.js";
import type { HypervisorStatus } from "./hypervisor.js";
import { statusFromHypervisor } from "./messages.js";

/** The one version of the protocol that this agent speaks. */
export const PROTOCOL_VERSION = 1;

/** Who this run of the agent is, on every stream. */
export class AgentIdentity {
  readonly host: string;
  readonly version: string;
  /** 128 random bits in hexadecimal, new with every start. */
  readonly processId = randomBytes(16).toString("hex");
  /** What the controllers' database gave this process; 0 until the first Welcome. */
  generation = 0n;

  constructor(host: string, version: string) {
    this.host = host;
    this.version = version;
  }

  /** The first message of a stream. */
  hello(status: HypervisorStatus): Hello {
    return {
      host: this.host,
      processId: this.processId,
      generation: this.generation,
      agentVersion: this.version,
      minProtocolVersion: PROTOCOL_VERSION,
      maxProtocolVersion: PROTOCOL_VERSION,
      hypervisor: statusFromHypervisor(status),
    };
  }
}
