// SPDX-License-Identifier: Apache-2.0
import type { DemoState } from "./demo.js";

/** The method that gives out console URLs. */
export const GET_CONSOLE = "spicegate.console.v1.ConsoleService/GetSpiceConsole";
const SESSIONS = "spicegate.session.v1.SessionService";

/** What a person can do with a running demo, ready to be pasted. */
export function howTo({ grpc, rest, token, instances }: DemoState): string {
  const width = Math.max(...instances.map(({ name }) => name.length));
  const lines = (method: string, json?: string): string[] => [grpcurl(grpc, method, json), bufLine(grpc, method, json)];
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
function grpcurl(grpc: string, method: string, json?: string): string {
  return `grpcurl -plaintext ${data(json)}${grpc} ${method}`;
}

/** The same call by buf, which npm installs with the project. */
export function bufLine(grpc: string, method: string, json?: string): string {
  return `npx buf curl --protocol grpc --http2-prior-knowledge ${data(json)}http://${grpc}/${method}`;
}

/** Asks for a console of this instance, quoted for the shell. */
export function consoleJson(uuid: string): string {
  return `'{"instance_uuid":"${uuid}"}'`;
}

function data(json: string | undefined): string {
  return json === undefined ? "" : `-d ${json} `;
}
