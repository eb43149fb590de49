// SPDX-License-Identifier: Apache-2.0
import type { FastifyReply, FastifyRequest } from "fastify";
import type { PageFile } from "./page-files.js";

/** Sends a file, packed where the browser takes that; 304 where it has it. */
export function sendFile(request: FastifyRequest, reply: FastifyReply, file: PageFile): FastifyReply {
  reply.headers({ etag: file.etag, vary: "accept-encoding" });
  if (hasEtag(request.headers["if-none-match"], file.etag)) return reply.code(304).send();
  reply.header("content-type", file.type);
  if (!file.gzipped || !acceptsGzip(request.headers["accept-encoding"])) return reply.send(file.body);
  return reply.header("content-encoding", "gzip").send(file.gzipped);
}

/** True where If-None-Match names the tag, strong or weak. */
function hasEtag(header: string | undefined, etag: string): boolean {
  const opaque = etag.replace(/^W\//, "");
  return header?.split(",").some((tag) => tag.trim().replace(/^W\//, "") === opaque) ?? false;
}

/** True where Accept-Encoding lists gzip and does not give it a weight of zero. */
function acceptsGzip(header: string | string[] | undefined): boolean {
  const codings = String(header ?? "").split(",");
  return codings.some((coding) => {
    const [name, ...parameters] = coding.split(";").map((part) => part.trim().toLowerCase());
    return name === "gzip" && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}
