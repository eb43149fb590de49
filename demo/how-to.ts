// SPDX-License-Identifier: Apache-2.0
import type { DemoState } from "./demo.js";

const METHOD = "spicegate.console.v1.ConsoleService/GetSpiceConsole";

/** What a person can do with a running demo, ready to be pasted. */
export function howTo(state: DemoState): string {
  const sections = state.instances.map(({ uuid, name, url }) =>
    [
      name,
      `  ${url}`,
      "  a fresh URL:",
      `    ${grpcurlLine(state.grpc, uuid)}`,
      `    ${bufLine(state.grpc, uuid)}`,
    ].join("\n"),
  );
  const title = "Consoles; each URL opens once, within ten minutes:";
  return ["", title, "", ...sections.flatMap((section) => [section, ""]), "Ctrl-C ends the demo."].join("\n");
}

/** One GetSpiceConsole call by grpcurl, as a shell line. */
export function grpcurlLine(grpc: string, uuid: string): string {
  return `grpcurl -plaintext -d '${requestJson(uuid)}' ${grpc} ${METHOD}`;
}

/** The same call by buf, which npm installs with the project. */
export function bufLine(grpc: string, uuid: string): string {
  return `npx buf curl --protocol grpc --http2-prior-knowledge -d '${requestJson(uuid)}' http://${grpc}/${METHOD}`;
}

function requestJson(uuid: string): string {
  return JSON.stringify({ instance_uuid: uuid });
}
