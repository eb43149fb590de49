// SPDX-License-Identifier: Apache-2.0
// The one token that no token is needed for: whoever has the controller's settings can read and write its database anyway.
import type { ControllerConfig } from "../config/controller-config.js";
import { Database } from "../db/pool.js";
import type { IssuedUserToken } from "../identity/user-token-store.js";
import { UserTokenStore } from "../identity/user-token-store.js";
import { silentLog } from "../lib/log.js";
import { CommandError, EXIT } from "./reporting.js";

/** Makes an administrator's token, straight in Postgres, while there is no token that is good: of several calls one gets it. */
export async function makeFirstUserToken(
  { database: address }: Pick<ControllerConfig, "database">,
  wish: { readonly subject: string; readonly ttlSeconds: number },
): Promise<IssuedUserToken> {
  const database = new Database({ ...address, log: silentLog });
  try {
    await database.start();
    if (!database.isReady()) throw new CommandError(`the database cannot be used: ${database.problem}`, EXIT.NO_ANSWER);
    const issued = await new UserTokenStore(database).createFirst({ ...wish, projectId: "", roles: ["admin"] });
    if (issued) return issued;
  } finally {
    await database.stop();
  }
  throw new CommandError("there is a token already: ask with it, by `spicegate user token` without --first");
}
