// SPDX-License-Identifier: Apache-2.0
import type { FastifyRequest } from "fastify";
import type { HttpRequests } from "../http/http-requests.js";
import { isHost } from "../http/trusted-proxies.js";
import { formatAddress } from "../lib/listen-address.js";

/** "http://host:port" as the client reached us; where its Host header is no host, the address that it is connected to. */
export function baseUrlOf(request: FastifyRequest, requests: HttpRequests): string {
  const { scheme, host } = requests.of(request.raw);
  if (isHost(host)) return `${scheme}://${host}`;
  const { localAddress = "", localPort = 0 } = request.raw.socket;
  return `${scheme}://${formatAddress({ host: localAddress, port: localPort })}`;
}
