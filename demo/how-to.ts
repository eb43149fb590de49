// SPDX-License-Identifier: Apache-2.0
import type { ConsoleApi } from "./console-request.js";
import type { DemoState } from "./demo.js";

/** The method that gives out console URLs. */
export const GET_CONSOLE = "spicegate.console.v1.ConsoleService/GetSpiceConsole";
const SESSIONS = "spicegate.session.v1.SessionService";

/** What a person can do with a running demo, ready to be pasted. */
export function howTo(state: DemoState): string {
  const { rest, token, instances } = state;
  const width = Math.max(...instances.map(({ name }) => name.length));
  const lines = (method: string, json?: string): string[] => [
    grpcurl(state, method, json),
    bufLine(state, method, json),
  ];
  return [
    section(
      "Open in a browser; each URL opens once, within ten minutes:",
      instances.map(({ name, url }) => `${name.padEnd(width)}  ${url}`),
    ),
    ...instances.map(({ name, uuid }) => section(`A fresh URL of ${name}:`, lines(GET_CONSOLE, consoleJson(uuid)))),
    section("Who looks at which machine:", lines(`${SESSIONS}/ListSessions`)),
    section("End a session; its sessionId, which is in the page's address too, comes after the first line:", [
      "read -r ID",
      ...lines(`${SESSIONS}/TerminateSession`, '"{\\"session_id\\":\\"$ID\\"}"'),
    ]),
    section(
      "A fresh URL by the client of OpenStack, where python3-openstackclient is installed:",
      instances.map(({ name }) => openstackLine(rest, token, name)),
    ),
    "\nCtrl-C ends the demo.",
  ].join("\n");
}

/** Asks for a console by Nova's command-line client. */
function openstackLine(rest: string, token: string, name: string): string {
  const identity = `--os-auth-type admin_token --os-token ${token} --os-endpoint ${rest}`;
  return `openstack ${identity} console url show --spice ${name}`;
}

function section(title: string, lines: readonly string[]): string {
  return ["", title, ...lines.map((line) => `  ${line}`)].join("\n");
}

/** One call by grpcurl, as a shell line; `json` is quoted for the shell. */
function grpcurl({ grpc, ca, token }: ConsoleApi, method: string, json?: string): string {
  const reached = ca === null ? "-plaintext" : `-cacert ${ca}`;
  return `grpcurl ${reached} ${header(token)}${data(json)}${grpc} ${method}`;
}

/** The same call by buf, which npm installs with the project. */
export function bufLine({ grpc, ca, token }: ConsoleApi, method: string, json?: string): string {
  const reached = ca === null ? "--http2-prior-knowledge" : `--cacert ${ca}`;
  const scheme = ca === null ? "http" : "https";
  return `npx buf curl --protocol grpc ${reached} ${header(token)}${data(json)}${scheme}://${grpc}/${method}`;
}

/** Asks for a console of this instance, quoted for the shell. */
export function consoleJson(uuid: string): string {
  return `'{"instance_uuid":"${uuid}"}'`;
}

function header(token: string): string {
  return token === "" ? "" : `-H 'authorization: Bearer ${token}' `;
}

function data(json: string | undefined): string {
  return json === undefined ? "" : `-d ${json} `;
}
