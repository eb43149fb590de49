// SPDX-License-Identifier: Apache-2.0

const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * By what an address is counted: an IPv4 one by itself, an IPv6 one by its /64, since whoever has one address of it has
 * them all. The same text for every way of writing it; what is no address is left as it is.
 */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const mapped = MAPPED_IPV4.exec(address)?.[1];
  return mapped ?? `${firstGroups(address).join(":")}::/64`;
}

/** True for addresses of this machine as sockets name them, and for none; every request asks, so it is simpler than isLoopback. */
export function isThisMachine(address: string): boolean {
  return address.startsWith("127.") || address === "::1" || address.startsWith("::ffff:127.") || address === "";
}

/** The first four groups, without leading zeros. */
function firstGroups(address: string): string[] {
  const [head = "", tail] = address.split("::", 2);
  const groups = groupsOf(head);
  const after = groupsOf(tail ?? "");
  const gap = tail === undefined ? 0 : Math.max(0, GROUPS - groups.length - after.length);
  const all = [...groups, ...new Array<string>(gap).fill("0"), ...after];
  return all.slice(0, GROUPS / 2).map((group) => (Number.parseInt(group, 16) || 0).toString(16));
}

const GROUPS = 8;

function groupsOf(text: string): string[] {
  return text === "" ? [] : text.split(":");
}
