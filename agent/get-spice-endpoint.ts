// SPDX-License-Identifier: Apache-2.0
import type { SpiceEndpoint } from "../proto/gen/spicegate/agent/v1/agent.js";
import { ServiceError } from "../src/lib/service-error.js";
import type { AskOptions, DomainDescription, DomainDisplay, Hypervisor, HypervisorInfo } from "./hypervisor.js";
import { listenKindFromDisplay } from "./messages.js";

/** The settings that decide about SPICE; see agent-config.ts. */
export interface SpiceSettings {
  readonly enabled: boolean;
  readonly server_proxyclient_address: string;
}

/** What questions about displays are answered from. */
export interface SpiceSource {
  readonly hypervisor: Hypervisor;
  readonly settings: SpiceSettings;
}

/** Where proxies reach the first SPICE display of a live domain. Fails as agent.proto says, in that order. */
export async function getSpiceEndpoint(source: SpiceSource, uuid: string, options: AskOptions): Promise<SpiceEndpoint> {
  const display = await findSpiceDisplay(source, uuid, options);
  return {
    host: source.settings.server_proxyclient_address,
    listen: listenKindFromDisplay(display.listen),
    port: display.port ?? 0,
    tlsPort: display.tlsPort ?? 0,
    internalAccessPath: "",
  };
}

/** The first SPICE display of a live domain; the checks that every question about a display shares. */
export async function findSpiceDisplay(source: SpiceSource, uuid: string, options: AskOptions): Promise<DomainDisplay> {
  requireSpice(source.settings, source.hypervisor.status().info);
  return spiceDisplayOf(await source.hypervisor.describe(uuid, options));
}

/** Throws SPICE_DISABLED or HOST_LACKS_SPICE: what is known without asking about the domain. */
export function requireSpice(settings: SpiceSettings, info: HypervisorInfo | undefined): void {
  if (!settings.enabled) throw new ServiceError("SPICE_DISABLED", "SPICE consoles are disabled on this host");
  if (info?.spice === false) {
    throw new ServiceError("HOST_LACKS_SPICE", "the hypervisor of this host was built without SPICE");
  }
}

/**
 * The first SPICE display of a domain that runs or was paused. Throws INSTANCE_NOT_RUNNING, then NO_SPICE_DISPLAY. A
 * display that listens on the network but has no port yet or no longer is one of a domain that is not running either:
 * QEMU takes the port before the guest's first instruction and gives it back last.
 */
export function spiceDisplayOf(domain: DomainDescription): DomainDisplay {
  if (domain.state !== "running" && domain.state !== "paused") {
    throw new ServiceError("INSTANCE_NOT_RUNNING", `the instance is not running: its state is ${domain.state}`);
  }
  const display = domain.displays.find(({ kind }) => kind === "spice");
  if (!display) throw new ServiceError("NO_SPICE_DISPLAY", "the instance has no SPICE display");
  const listensOnNetwork = display.listen === "address" || display.listen === "network";
  if (listensOnNetwork && display.port === undefined && display.tlsPort === undefined) {
    throw new ServiceError("INSTANCE_NOT_RUNNING", "the instance is not running: its SPICE display has no port");
  }
  return display;
}
