// SPDX-License-Identifier: Apache-2.0
// Nova's two ways to ask for a console: an action of the server up to 2.5, remote-consoles from 2.6 on.
import type { FastifyRequest, RouteHandlerMethod } from "fastify";
import type { GetSpiceConsole } from "../console/get-spice-console.js";
import { invalid } from "../lib/validate.js";
import type { Microversion } from "./microversion.js";
import { requireVersion, SUPPORTED } from "./microversion.js";
import type { NovaCalls } from "./nova-calls.js";
import { requireShape } from "./request-shape.js";
import { serverIn } from "./server-id.js";

/** What the handlers of consoles need. */
export interface RemoteConsolesOptions {
  readonly calls: NovaCalls;
  readonly getSpiceConsole: Pick<GetSpiceConsole, "execute">;
}

/** The versions with remote-consoles; before them there are the actions. */
const REMOTE_CONSOLES = { min: 6, max: SUPPORTED.max };
const ACTIONS = { min: SUPPORTED.min, max: 5 };

/** Up to 2.5: the protocol is in the action's name. */
const CONSOLE_ACTIONS = new Map([
  ["os-getSPICEConsole", { protocol: "spice", types: ["spice-html5"] }],
  ["os-getVNCConsole", { protocol: "vnc", types: ["novnc", "xvpvnc"] }],
  ["os-getSerialConsole", { protocol: "serial", types: ["serial"] }],
  ["os-getRDPConsole", { protocol: "rdp", types: ["rdp-html5"] }],
]);

// Protocols and types are independent of each other: what does not fit together is refused by the use case.
const WORDS_2_6 = {
  protocols: ["vnc", "spice", "serial", "rdp"],
  types: ["novnc", "xvpvnc", "spice-html5", "serial", "rdp-html5"],
};
const WORDS_2_8 = { protocols: [...WORDS_2_6.protocols, "mks"], types: [...WORDS_2_6.types, "webmks"] };
const WORDS_2_99 = { ...WORDS_2_8, types: [...WORDS_2_8.types, "spice-direct"] };

/** The schema of remote-consoles, from each version on; the newest first. */
const SCHEMAS = [
  { from: 99, schema: remoteConsoleSchema(WORDS_2_99) },
  { from: 8, schema: remoteConsoleSchema(WORDS_2_8) },
  { from: 6, schema: remoteConsoleSchema(WORDS_2_6) },
];

/** One object for each action: a compiled schema is found again by it. */
const ACTION_SCHEMAS = new Map(
  [...CONSOLE_ACTIONS].map(([name, { types }]) => [name, only({ [name]: only({ type: { enum: types } }) })]),
);

interface RemoteConsoleBody {
  readonly remote_console: { readonly protocol: string; readonly type: string };
}

type ActionBody = Readonly<Record<string, { readonly type: string }>>;

/** Issues a console, from 2.6 on. */
export function createRemoteConsole({ calls, getSpiceConsole }: RemoteConsolesOptions): RouteHandlerMethod {
  return async (request) => {
    const { version, context } = calls.of(request);
    requireVersion(version, REMOTE_CONSOLES);
    requireShape(request, schemaOf(version));
    const { protocol, type } = (request.body as RemoteConsoleBody).remote_console;
    const asked = { instanceUuid: serverIn(request), protocol, consoleType: type };
    const { url, consoleType } = await getSpiceConsole.execute(asked, context);
    return { remote_console: { protocol, type: consoleType, url } };
  };
}

/** Runs an action of a server: those that ask for a console, up to 2.5. */
export function runAction({ calls, getSpiceConsole }: RemoteConsolesOptions): RouteHandlerMethod {
  return async (request) => {
    const { version, context } = calls.of(request);
    const action = actionIn(request);
    const known = CONSOLE_ACTIONS.get(action);
    const schema = ACTION_SCHEMAS.get(action);
    if (!known || !schema) throw invalid("the body", "names no action that is known here");
    requireVersion(version, ACTIONS);
    requireShape(request, schema);
    const { type = "" } = (request.body as ActionBody)[action] ?? {};
    const asked = { instanceUuid: serverIn(request), protocol: known.protocol, consoleType: type };
    const { url, consoleType } = await getSpiceConsole.execute(asked, context);
    return { console: { type: consoleType, url } };
  };
}

function schemaOf(version: Microversion): object {
  const found = SCHEMAS.find(({ from }) => version >= from);
  if (!found) throw new Error(`remote-consoles without a schema in version ${version}`);
  return found.schema;
}

/** The one key of an action's body. */
function actionIn({ body }: FastifyRequest): string {
  const names = typeof body === "object" && body !== null && !Array.isArray(body) ? Object.keys(body) : [];
  const [name, ...others] = names;
  if (name === undefined || others.length > 0) throw invalid("the body", "must be an object with one action");
  return name;
}

function remoteConsoleSchema({ protocols, types }: typeof WORDS_2_6): object {
  return only({ remote_console: only({ protocol: { enum: protocols }, type: { enum: types } }) });
}

/** An object with these fields and no others. */
function only(properties: Readonly<Record<string, object>>): object {
  return { type: "object", required: Object.keys(properties), additionalProperties: false, properties };
}
