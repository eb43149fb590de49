// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { WebSocket } from "ws";

const ANSWER_MS = 5_000;

interface InspectorTarget {
  readonly webSocketDebuggerUrl: string;
}

interface HeapUsage {
  readonly usedSize?: number;
}

/**
 * What a program's JavaScript really uses, in MiB: its heap after a full collection of garbage, which Node's inspector is
 * asked for. Left to itself V8 collects so late that an hour's garbage looks like a leak.
 */
export async function liveHeapMiB(inspector: string): Promise<number> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const response = await fetch(`http://${inspector}/json`, { signal });
  const [target] = (await response.json()) as readonly InspectorTarget[];
  const webSocket = new WebSocket(target?.webSocketDebuggerUrl ?? "", { handshakeTimeout: ANSWER_MS });
  try {
    await once(webSocket, "open", { signal });
    await ask(webSocket, "HeapProfiler.collectGarbage", signal);
    const { usedSize = 0 } = await ask(webSocket, "Runtime.getHeapUsage", signal);
    return usedSize / 2 ** 20;
  } finally {
    webSocket.terminate();
  }
}

/** One question after the other: as long as nothing is subscribed to, every message is an answer. */
async function ask(webSocket: WebSocket, method: string, signal: AbortSignal): Promise<HeapUsage> {
  const answered = once(webSocket, "message", { signal });
  webSocket.send(JSON.stringify({ id: 1, method }));
  const [data] = (await answered) as [Buffer];
  return (JSON.parse(data.toString()) as { readonly result?: HeapUsage }).result ?? {};
}
