// SPDX-License-Identifier: Apache-2.0
import type { FastifyRequest, RouteHandlerMethod } from "fastify";
import type { ManageInventory } from "../console/manage-inventory.js";
import type { HttpRequests } from "../http/http-requests.js";
import type { Instance } from "../instances/instance.js";
import type { Caller } from "../rpc/caller.js";
import { isAdmin } from "../rpc/caller.js";
import { baseUrlOf } from "./base-url.js";
import type { NovaCalls } from "./nova-calls.js";
import { serverIn } from "./server-id.js";
import { serverQueryOf } from "./server-query.js";
import type { ServerViewOptions } from "./server-views.js";
import { serverDetail } from "./server-views.js";

/** What the handlers of servers need. */
export interface ServerHandlersOptions {
  readonly calls: NovaCalls;
  readonly requests: HttpRequests;
  readonly inventory: Pick<ManageInventory, "listInstances" | "getInstance">;
}

type View = (instance: Instance, options: ServerViewOptions) => object;

/** Tells of one server. */
export function showServer({ calls, requests, inventory }: ServerHandlersOptions): RouteHandlerMethod {
  return async (request) => {
    const { context } = calls.of(request);
    const { instance } = await inventory.getInstance(serverIn(request), context);
    return { server: serverDetail(instance, viewOptions(request, requests, context.caller)) };
  };
}

/** Lists servers, by uuid, each in that view; "next" leads to those that did not fit on the page. */
export function listServers(options: ServerHandlersOptions, view: View): RouteHandlerMethod {
  const { calls, requests, inventory } = options;
  return async (request) => {
    const { version, context } = calls.of(request);
    const { filters, limit } = serverQueryOf(request, version, context.caller);
    const page = await inventory.listInstances(filters, { size: Math.max(limit, 1), token: "" }, context);
    const items = page.items.slice(0, limit);
    const shown = viewOptions(request, requests, context.caller);
    const servers = items.map((instance) => view(instance, shown));
    const last = items.at(-1);
    if (page.nextPageToken === "" || last === undefined) return { servers };
    return { servers, servers_links: [{ rel: "next", href: nextPage(request, shown.base, last.uuid) }] };
  };
}

/** The address of the request, with another marker. */
function nextPage(request: FastifyRequest, base: string, marker: string): string {
  const { pathname, searchParams } = new URL(request.raw.url ?? "", "http://unused");
  searchParams.set("marker", marker);
  return `${base}${pathname}?${searchParams.toString()}`;
}

function viewOptions(request: FastifyRequest, requests: HttpRequests, caller: Caller): ServerViewOptions {
  const { project } = request.params as { readonly project?: string };
  const prefix = project === undefined ? "/v2.1" : `/v2.1/${encodeURIComponent(project)}`;
  return { base: baseUrlOf(request, requests), prefix, admin: isAdmin(caller) };
}
