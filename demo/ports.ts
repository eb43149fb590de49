// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { Server } from "node:net";

// Above the well-known defaults, and below the range from which the kernel takes the near end of outgoing connections:
// there, a client that retries while a server restarts could take its port.
const BLOCKS_FROM = 10_000;
const SINGLE_FROM = 15_000;
const BLOCK_SIZE = 100;
const FEWEST_BLOCKS = 10;

const singlePorts = generateSinglePorts();

/**
 * A port that nobody listens on, never the same twice, and none that another living process was given by this: what is
 * to listen on it may take its time, and restart.
 */
export async function freePort(): Promise<number> {
  const { done, value } = await singlePorts.next();
  if (done === true) throw new Error("found no free port");
  return value;
}

/** The free ports of one block after the other; they stay reserved as long as this process lives. */
async function* generateSinglePorts(): AsyncGenerator<number, void> {
  for (;;) {
    const { first, last } = await reserveBlock(SINGLE_FROM, lowestOutgoingPort());
    for (let port = first; port <= last; port++) if (await isFree(port)) yield port;
  }
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
export function reservePortBlock(): Promise<PortBlock> {
  return reserveBlock(BLOCKS_FROM, SINGLE_FROM);
}

async function reserveBlock(from: number, to: number): Promise<PortBlock> {
  const blocks = Math.floor((to - from) / BLOCK_SIZE);
  const start = Math.floor(Math.random() * blocks);
  for (let step = 0; step < blocks; step++) {
    const guard = from + ((start + step) % blocks) * BLOCK_SIZE;
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
  return Math.max(parseInt(range, 10), SINGLE_FROM + FEWEST_BLOCKS * BLOCK_SIZE);
}
