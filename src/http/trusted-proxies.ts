// SPDX-License-Identifier: Apache-2.0
import type { IncomingHttpHeaders } from "node:http";
import { BlockList, isIP } from "node:net";
import { parseAddress } from "../lib/listen-address.js";
import { headerList } from "./header-list.js";

/** Who asks, and under which name it found us. */
export interface Forwarded {
  /** The client's address without its port; empty where unknown. */
  readonly clientAddress: string;
  readonly scheme: "http" | "https";
  /** As in the Host header; empty where there is none. */
  readonly host: string;
  /** False where somebody stands between the client and us: a trusted proxy, or one that its headers give away. */
  readonly direct: boolean;
}

/** Who has sent a request to us, and how. */
export interface Sender {
  /** Undefined where the connection is gone. */
  readonly address: string | undefined;
  readonly scheme: "http" | "https";
}

const HOST = /^(?:\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::[0-9]{1,5})?$/i;
/** What proxies add, trusted or not. A client that adds one itself gains nothing by it. */
const ADDED_BY_PROXIES = ["x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via"] as const;
const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * Reads X-Forwarded-For, -Proto and -Host, which anybody can write: they count only where the peer is one of the
 * configured balancers, and of a list only what those have added. A malformed value counts as absent.
 */
export class TrustedProxies {
  readonly #networks = new BlockList();
  readonly #any: boolean;

  /** Takes addresses and networks ("10.0.0.0/8") as the settings have checked them. */
  constructor(networks: readonly string[]) {
    this.#any = networks.length > 0;
    for (const network of networks) {
      const [address = "", bits] = network.split("/");
      const family = isIP(address) === 6 ? "ipv6" : "ipv4";
      if (bits === undefined) this.#networks.addAddress(address, family);
      else this.#networks.addSubnet(address, Number(bits), family);
    }
  }

  /** What is to be believed of a request from `sender`. */
  read(sender: Sender, headers: IncomingHttpHeaders): Forwarded {
    const address = plainAddress(sender.address?.split("%", 1)[0] ?? "") ?? "";
    const host = headers.host ?? "";
    if (!this.trusts(address)) {
      const direct = ADDED_BY_PROXIES.every((name) => headers[name] === undefined);
      return { clientAddress: address, scheme: sender.scheme, host, direct };
    }
    const proto = lastOf(headers["x-forwarded-proto"])?.toLowerCase();
    const forwardedHost = lastOf(headers["x-forwarded-host"]);
    return {
      clientAddress: this.#clientBehind(address, headers["x-forwarded-for"]),
      scheme: proto === "https" || proto === "http" ? proto : sender.scheme,
      host: forwardedHost !== undefined && isHost(forwardedHost) ? forwardedHost : host,
      direct: false,
    };
  }

  /** From right to left: each trusted proxy vouches for the one that it names, and for no more. */
  #clientBehind(proxy: string, forwardedFor: string | string[] | undefined): string {
    let client = proxy;
    for (const entry of headerList(forwardedFor).reverse()) {
      const address = plainAddress(entry) ?? plainAddress(parseAddress(entry)?.host ?? "");
      if (address === undefined) return client;
      client = address;
      if (!this.trusts(address)) return client;
    }
    return client;
  }

  /** Whether an address, as sockets name it, is one of theirs. */
  trusts(address: string): boolean {
    if (!this.#any) return false;
    const family = isIP(address);
    return family !== 0 && this.#networks.check(address, family === 6 ? "ipv6" : "ipv4");
  }
}

/** True for a name, an IPv4 or a bracketed IPv6 address, each with or without a port. */
export function isHost(text: string): boolean {
  return HOST.test(text);
}

/** An IP address without a zone, an IPv4 one in its short form; undefined for anything else. */
function plainAddress(text: string): string | undefined {
  const address = MAPPED_IPV4.exec(text)?.[1] ?? text;
  return isIP(address) === 0 || address.includes("%") ? undefined : address;
}

/** What the nearest proxy has written; those before it may be the client's own words. */
function lastOf(header: string | string[] | undefined): string | undefined {
  return headerList(header).at(-1);
}
