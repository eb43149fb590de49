// SPDX-License-Identifier: Apache-2.0
import { waitUntil } from "../../demo/wait-until.js";
import type {
  GetInstanceResponse,
  Host,
  ListInstancesResponse,
  PowerState,
  UpdateInstanceResponse,
} from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { Instance, ListInstancesRequest } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import type { Deployment } from "./deployment.js";
import type { CallResult } from "./grpc-client.js";
import { callUnary } from "./grpc-client.js";

/** What an orchestrator says of an instance; the rest is empty. */
export type Registered = Partial<Instance> & { readonly instanceUuid: string };

/** The response of a call that went well; throws with the failure's message. */
export function responseOf<Response>(result: CallResult<Response>): Response {
  if (result.ok) return result.response;
  throw new Error(`${result.failure.reason}: ${result.failure.message}`);
}

/** Registers an instance and returns what is stored. */
export async function register({ inventory }: Deployment, instance: Registered): Promise<Instance> {
  const call = inventory.registerInstance.bind(inventory);
  return responseOf(await callUnary(call, { instance: Instance.fromPartial(instance) })).instance!;
}

/** Changes the fields named by the mask. */
export function update(
  { inventory }: Deployment,
  instance: Registered,
  updateMask: string[],
): Promise<CallResult<UpdateInstanceResponse>> {
  const call = inventory.updateInstance.bind(inventory);
  return callUnary(call, { instance: Instance.fromPartial(instance), updateMask });
}

/** Deletes an instance; the outcome, as the other calls of tests that look at failures. */
export function remove(
  { inventory }: Deployment,
  instanceUuid: string,
): Promise<CallResult<{ revokedTokens: number }>> {
  return callUnary(inventory.deleteInstance.bind(inventory), { instanceUuid });
}

/** One instance. */
export function get({ inventory }: Deployment, instanceUuid: string): Promise<CallResult<GetInstanceResponse>> {
  return callUnary(inventory.getInstance.bind(inventory), { instanceUuid });
}

/** One page of instances. */
export function list(
  { inventory }: Deployment,
  request: Partial<ListInstancesRequest> = {},
): Promise<CallResult<ListInstancesResponse>> {
  return callUnary(inventory.listInstances.bind(inventory), ListInstancesRequest.fromPartial(request));
}

/** One host; throws where it is unknown. */
export async function host({ inventory }: Deployment, name: string): Promise<Host> {
  const { hosts } = responseOf(await callUnary(inventory.listHosts.bind(inventory), { pageSize: 0, pageToken: "" }));
  const found = hosts.find((candidate) => candidate.host === name);
  if (!found) throw new Error(`host ${name} is unknown`);
  return found;
}

/** Waits until GetInstance says so. */
export async function reaches(deployment: Deployment, uuid: string, state: PowerState | "not found"): Promise<void> {
  const what = `${uuid} to be ${typeof state === "string" ? state : `in power state ${state}`}`;
  const look = async (): Promise<boolean> => {
    const result = await get(deployment, uuid);
    if (!result.ok) return state === "not found" && result.failure.reason === "INSTANCE_NOT_FOUND";
    return result.response.instance?.powerState === state;
  };
  await waitUntil(look, { ms: 15_000, what });
}
