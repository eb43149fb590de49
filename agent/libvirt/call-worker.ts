// SPDX-License-Identifier: Apache-2.0
import { parentPort, workerData } from "node:worker_threads";
import type { HypervisorInfo } from "../hypervisor.js";
import { failureOf, ifSupported, nonNegative, nonNull, openConnection } from "./connection.js";
import { DomainHandles } from "./domain-handles.js";
import { describeDomain } from "./describe-domain.js";
import { openGraphics } from "./open-graphics.js";
import { readDisplayCapabilities, UNKNOWN_CAPABILITIES } from "./display-capabilities.js";
import type { Answers, CallRequest, CallWorkerData, WorkerReply, WorkerRequest } from "./messages.js";
import type { Pointer } from "./native.js";
import { domainUuid, loadLibvirt, takePointers } from "./native.js";

/** Entry of a call worker: one connection, one call at a time, synchronously. See messages.ts. */

const libvirt = loadLibvirt();
const { uri } = workerData as CallWorkerData;
let connection: Pointer = null;
let handles = new DomainHandles(libvirt, connection);

function close(): void {
  handles.clear();
  if (connection !== null) libvirt.connectClose(connection);
  connection = null;
}

function open(): true {
  close();
  connection = openConnection(libvirt, uri);
  handles = new DomainHandles(libvirt, connection);
  return true;
}

/** libvirt writes a version as one number: major, minor and release with three digits each for the last two. */
function version(ask: (connection: Pointer, version: number[]) => number): string {
  const out = [0];
  nonNegative(libvirt, ask(connection, out));
  const number = Number(out[0]);
  return [number / 1_000_000, (number / 1_000) % 1_000, number % 1_000].map(Math.trunc).join(".");
}

function info(): HypervisorInfo {
  const capabilities = ifSupported(
    () => nonNull(libvirt, libvirt.connectGetDomainCapabilities(connection, null, null, null, null, 0)),
    undefined,
  );
  return {
    libvirtVersion: version(libvirt.connectGetLibVersion),
    hypervisorVersion: version(libvirt.connectGetVersion),
    // The only driver that hands out descriptors; where its connection cannot carry one, opening says so.
    graphicsFd: libvirt.connectGetType(connection) === "QEMU",
    ...(capabilities === undefined ? UNKNOWN_CAPABILITIES : readDisplayCapabilities(capabilities)),
  };
}

function list(): string[] {
  const out: Pointer[] = [null];
  const count = nonNegative(libvirt, libvirt.connectListAllDomains(connection, out, 0));
  return takePointers(out[0] ?? null, count).map((domain) => {
    const uuid = domainUuid(libvirt, domain);
    libvirt.domainFree(domain);
    return uuid;
  });
}

function answer(request: CallRequest | { kind: "open" }): Answers[keyof Answers] {
  switch (request.kind) {
    case "open":
      return open();
    case "info":
      return info();
    case "list":
      return list();
    case "describe":
      return request.domains.map((question) => describeDomain(libvirt, handles, question));
    case "openGraphics":
      return openGraphics(libvirt, handles, request);
  }
}

function reply(request: CallRequest | { kind: "open" }): WorkerReply {
  try {
    return { ok: true, value: answer(request) };
  } catch (error) {
    return { ok: false, failure: failureOf(error) };
  }
}

parentPort?.on("message", (request: WorkerRequest) => {
  if (request.kind !== "close") return parentPort?.postMessage(reply(request));
  close();
  parentPort?.close();
});
