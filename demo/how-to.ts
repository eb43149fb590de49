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
  return [
    "",
    "Consoles; each URL opens once and expires after ten minutes:",
    ...sections,
    "Ctrl-C ends the demo.",
    "",
  ].join("\n\n");
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
