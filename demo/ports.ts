// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { Server } from "node:net";

const LOWEST = 15_000;
const TRIES = 100;
// Between the well-known defaults and the ports above.
const BLOCKS_FROM = 10_000;
const BLOCK_SIZE = 100;
const given = new Set<number>();

/**
 * A port that nobody listens on, never the same twice in a process. It lies below the range from which the kernel takes
 * the near end of outgoing connections: there, a client that retries while a server restarts could take its port.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const port = LOWEST + Math.floor(Math.random() * (lowestOutgoingPort() - LOWEST));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error("found no free port");
}

/** The wanted port if it is free, else another one. */
export async function portNear(wanted: number): Promise<number> {
  return (await isFree(wanted)) ? wanted : freePort();
}

/** Ports that one user of this file has for itself. */
export interface PortBlock {
  readonly first: number;
  readonly last: number;
  /** Gives them back; twice is harmless. */
  release(): void;
}

/**
 * Reserves a hundred ports, for programs that choose among them later. The first is listened on as long as they are
 * reserved, so the kernel keeps two processes from the same block, and a process that dies gives its own back.
 */
export async function reservePortBlock(): Promise<PortBlock> {
  const blocks = (LOWEST - BLOCKS_FROM) / BLOCK_SIZE;
  const start = Math.floor(Math.random() * blocks);
  for (let step = 0; step < blocks; step++) {
    const guard = BLOCKS_FROM + ((start + step) % blocks) * BLOCK_SIZE;
    const server = await listen(guard);
    if (!server) continue;
    server.unref();
    return { first: guard + 1, last: guard + BLOCK_SIZE - 1, release: () => void server.close() };
  }
  throw new Error("every block of ports is taken");
}

/** Whether one could listen on this port of 127.0.0.1 now. */
export async function isFree(port: number): Promise<boolean> {
  const server = await listen(port);
  if (!server) return false;
  await new Promise((resolve) => server.close(resolve));
  return true;
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => void socket.destroy());
    server.once("error", () => resolve(undefined));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => resolve(server));
  });
}

function lowestOutgoingPort(): number {
  const range = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8");
  return Math.max(parseInt(range, 10), LOWEST + TRIES);
}
