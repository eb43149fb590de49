// SPDX-License-Identifier: Apache-2.0
import type { RouteHandlerMethod } from "fastify";
import { notFound } from "../http/http-problem.js";
import { ASSET_MAX_AGE_S } from "../lib/limits.js";
import type { PageFile, PageFiles } from "./page-files.js";
import { sendFile } from "./send-file.js";
import { sessionIn } from "./session-handlers.js";

/** Sends the page. It knows nothing of sessions: the same bytes for everybody. */
export function sendPage({ page }: PageFiles): RouteHandlerMethod {
  return (request, reply) => sendFile(request, reply, page);
}

/** Sends a file of the page. */
export function sendAsset({ assets }: PageFiles): RouteHandlerMethod {
  return (request, reply) => {
    const file = assets.get((request.params as { readonly "*": string })["*"]);
    if (!file) throw notFound();
    return sendFile(request, reply.header("cache-control", `max-age=${ASSET_MAX_AGE_S}`), file);
  };
}

/** Sends a file of proxy.web; a page under a policy of its own, and to be kept by nobody: its address may hold a token. */
export function sendForeign(file: PageFile, policy: string | undefined): RouteHandlerMethod {
  const headers =
    policy === undefined ? { "cache-control": `max-age=${ASSET_MAX_AGE_S}` } : { "content-security-policy": policy };
  return (request, reply) => sendFile(request, reply.headers(headers), file);
}

/** Sends to another of our addresses, for the time being; what the query says is not passed on. */
export function redirectTo(path: string): RouteHandlerMethod {
  return (_request, reply) => reply.redirect(path, 302);
}

/** Sends a session's address without its last slash to the one with it, under which the cookie and relative names work. */
export const redirectToPage: RouteHandlerMethod = (request, reply) => reply.redirect(`/s/${sessionIn(request)}/`, 308);
