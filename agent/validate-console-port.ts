// SPDX-License-Identifier: Apache-2.0
import { ServiceError } from "../src/lib/service-error.js";
import type { SpiceSource } from "./get-spice-endpoint.js";
import { findSpiceDisplay } from "./get-spice-endpoint.js";
import type { AskOptions, DomainDisplay } from "./hypervisor.js";

/** The ports a token was issued for; 0 = none. */
export interface TokenPorts {
  readonly port: number;
  readonly tlsPort: number;
}

/** Ends well where the display still is what the token was issued for; fails as getSpiceEndpoint, or TARGET_CHANGED. */
export async function validateConsolePort(
  source: SpiceSource,
  uuid: string,
  ports: TokenPorts,
  options: AskOptions,
): Promise<void> {
  if (!portsMatch(await findSpiceDisplay(source, uuid, options), ports)) {
    throw new ServiceError("TARGET_CHANGED", "the display is no longer the one this console was issued for");
  }
}

/** Each port of the token must be the display's; a token without ports is for a display without ports. */
export function portsMatch(display: DomainDisplay, token: TokenPorts): boolean {
  if (token.port === 0 && token.tlsPort === 0) return display.port === undefined && display.tlsPort === undefined;
  const same = (wanted: number, actual: number | undefined): boolean => wanted === 0 || wanted === actual;
  return same(token.port, display.port) && same(token.tlsPort, display.tlsPort);
}
