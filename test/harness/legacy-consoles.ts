// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import type { AuthorizedConsole } from "../../src/consoleauth/console-auth.js";
import { uuidOf } from "./inventory.js";

/** A hash like a token's, another one for each name. */
export function hashNamed(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}

/** An authorization for instance 1 that lasts ten minutes. */
export function legacyConsole(more: Partial<AuthorizedConsole> = {}): AuthorizedConsole {
  return {
    instanceUuid: uuidOf(1),
    consoleType: "spice-html5",
    host: "127.0.0.1",
    port: 5900,
    tlsPort: undefined,
    internalAccessPath: undefined,
    accessUrlBase: "http://127.0.0.1:6082/spice_auto.html",
    createdBy: "bob",
    expiresAt: new Date(Math.floor(Date.now() / 1_000) * 1_000 + 600_000),
    ...more,
  };
}
