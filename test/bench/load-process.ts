// SPDX-License-Identifier: Apache-2.0
// The load generator. Each caller makes its next call when the last one is answered.
import type { ServiceError } from "@grpc/grpc-js";
import { credentials, Metadata } from "@grpc/grpc-js";
import { ConsoleServiceClient } from "../../proto/gen/spicegate/console/v1/console.js";
import { errorDetails } from "../harness/grpc-client.js";
import { LibvirtWorkers } from "./bare/libvirt-workers.js";
import { TokenTable } from "./bare/token-table.js";
import { announceReady, childOptions } from "./bench-process.js";
import type { LoadRequest, LoadResult, LoadTarget } from "./load.js";
import { percentile } from "./statistics.js";

type Act = () => Promise<unknown>;

const DEADLINE_MS = 10_000;

const act = await prepare(childOptions() as LoadTarget);
process.on("message", (request: LoadRequest) => void run(request).then((result) => process.send?.(result)));
announceReady();

async function prepare(target: LoadTarget): Promise<Act> {
  switch (target.kind) {
    case "console":
      return consoleCall(target);
    case "libvirt": {
      const libvirt = await LibvirtWorkers.open(target.uri);
      return () => libvirt.findPort(target.uuid);
    }
    case "insert": {
      const tokens = new TokenTable(target.url);
      return () => tokens.insert(target.uuid, 5_900);
    }
  }
}

function consoleCall({ address, uuids, expect }: LoadTarget & { kind: "console" }): Act {
  const client = new ConsoleServiceClient(address, credentials.createInsecure());
  let calls = 0;
  return () =>
    new Promise((resolve, reject) => {
      const instanceUuid = uuids[calls++ % uuids.length] ?? "";
      const deadline = Date.now() + DEADLINE_MS;
      client.getSpiceConsole({ instanceUuid, consoleType: "" }, new Metadata(), { deadline }, (error, response) => {
        if (reasonOf(error) === expect) resolve(response);
        else reject(error ?? new Error(`answered, though ${String(expect)} was expected`));
      });
    });
}

function reasonOf(error: ServiceError | null): string | undefined {
  return error ? (errorDetails(error.metadata).info?.reason ?? error.message) : undefined;
}

async function run({ callers, ms }: LoadRequest): Promise<LoadResult> {
  const took: number[] = [];
  let failure = "";
  const begin = performance.now();
  const end = begin + ms;
  const caller = async (): Promise<void> => {
    while (performance.now() < end && failure === "") {
      const asked = performance.now();
      await act();
      took.push(performance.now() - asked);
    }
  };
  const note = (error: unknown): void => {
    failure = String(error);
  };
  await Promise.all(Array.from({ length: callers }, () => caller().catch(note)));
  const elapsedMs = performance.now() - begin;
  const [p50, p95, p99] = [percentile(took, 50), percentile(took, 95), percentile(took, 99)];
  return { count: took.length, failure, elapsedMs, p50, p95, p99 };
}
