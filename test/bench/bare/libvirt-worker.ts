// SPDX-License-Identifier: Apache-2.0
// Entry of a worker thread: looks a domain up, takes its XML, and picks the port of its SPICE display from it.
import koffi from "koffi";
import { parentPort, workerData } from "node:worker_threads";

const library = koffi.load("libvirt.so.0");
const open = library.func("void *virConnectOpen(const char *uri)") as (uri: string) => bigint | null;
const lookup = library.func("void *virDomainLookupByUUIDString(void *connection, const char *uuid)") as (
  connection: bigint,
  uuid: string,
) => bigint | null;
const readXml = library.func("str! virDomainGetXMLDesc(void *domain, unsigned int flags)") as (
  domain: bigint,
  flags: number,
) => string | null;
const free = library.func("int virDomainFree(void *domain)") as (domain: bigint) => number;

const connection = open(workerData as string);
if (connection === null) throw new Error("libvirt cannot be reached");

parentPort?.on("message", ({ id, uuid }: { id: number; uuid: string }) => {
  parentPort?.postMessage({ id, port: findPort(connection, uuid) });
});
parentPort?.postMessage("ready");

function findPort(from: bigint, uuid: string): number {
  const domain = lookup(from, uuid);
  if (domain === null) throw new Error(`no domain ${uuid}`);
  const xml = readXml(domain, 0) ?? "";
  free(domain);
  return Number(/<graphics type='spice' port='(\d+)'/.exec(xml)?.[1] ?? 0);
}
