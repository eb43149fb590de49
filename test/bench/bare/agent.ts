// SPDX-License-Identifier: Apache-2.0
// The bare path's agent, a process: questions come in over one stream, libvirt is asked, answers go out.
import { credentials } from "@grpc/grpc-js";
import type { ConnectResponse } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { AgentServiceClient, ListenKind } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { announceReady, childOptions } from "../bench-process.js";
import { LibvirtWorkers } from "./libvirt-workers.js";

/** What it is started with. */
export interface BareAgentOptions {
  readonly controller: string;
  readonly libvirtUri: string;
}

const { controller, libvirtUri } = childOptions() as BareAgentOptions;
const libvirt = await LibvirtWorkers.open(libvirtUri);
const stream = new AgentServiceClient(controller, credentials.createInsecure()).connect();

async function answer(id: bigint, uuid: string): Promise<void> {
  const port = await libvirt.findPort(uuid);
  const spiceEndpoint = {
    host: "127.0.0.1",
    listen: ListenKind.LISTEN_KIND_ADDRESS,
    port,
    tlsPort: 0,
    internalAccessPath: "",
  };
  stream.write({ message: { $case: "reply", reply: { id, result: { $case: "spiceEndpoint", spiceEndpoint } } } });
}

stream.on("data", ({ message }: ConnectResponse) => {
  if (message?.$case !== "request") return;
  const { id, operation } = message.request;
  if (operation?.$case === "getSpiceEndpoint") void answer(id, operation.getSpiceEndpoint.instanceUuid);
});
stream.on("metadata", announceReady);
