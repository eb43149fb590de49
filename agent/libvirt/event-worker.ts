// SPDX-License-Identifier: Apache-2.0
import { parentPort, workerData } from "node:worker_threads";
import { LIBVIRT_LOOP_REST_MS } from "../../src/lib/limits.js";
import { failureOf, ifSupported, nonNegative, openConnection } from "./connection.js";
import { changeKind } from "./lifecycle-event.js";
import type { EventReport, EventWorkerData } from "./messages.js";
import { OPEN_FLAG, STOP_FLAG } from "./messages.js";
import type { Pointer } from "./native.js";
import {
  closeCallback,
  domainUuid,
  lifecycleCallback,
  loadLibc,
  loadLibvirt,
  releaseCallback,
  VIR_DOMAIN_EVENT_ID_LIFECYCLE,
  VIR_ERR_SYSTEM_ERROR,
} from "./native.js";

/**
 * Entry of the event worker: runs libvirt's event loop, which serves every connection of the process, and one
 * connection of its own for the events. It is always inside C, so flags reach it instead of messages. Callbacks are
 * registered here and nowhere else, because libvirt calls them on the thread that runs the loop.
 */

const libvirt = loadLibvirt();
const { uri, flags } = workerData as EventWorkerData;
const report = (message: EventReport): void => parentPort?.postMessage(message);

const onLifecycle = lifecycleCallback((domain, event, detail) => {
  const kind = changeKind(event, detail);
  if (!kind) return;
  const change = { kind, uuid: domainUuid(libvirt, domain), name: libvirt.domainGetName(domain) };
  report({ kind: "change", change });
});
const onClose = closeCallback((reason) => {
  report({
    kind: "lost",
    failure: { code: VIR_ERR_SYSTEM_ERROR, message: `libvirt closed the connection (reason ${reason})`, lost: true },
  });
});

let connection: Pointer = null;
let registration = -1;

function open(): void {
  close();
  try {
    connection = openConnection(libvirt, uri);
    const { connectRegisterCloseCallback, connectDomainEventRegisterAny } = libvirt;
    ifSupported(() => nonNegative(libvirt, connectRegisterCloseCallback(connection, onClose, null, null)), 0);
    registration = nonNegative(
      libvirt,
      connectDomainEventRegisterAny(connection, null, VIR_DOMAIN_EVENT_ID_LIFECYCLE, onLifecycle, null, null),
    );
    report({ kind: "opened" });
  } catch (error) {
    close();
    report({ kind: "failed", failure: failureOf(error) });
  }
}

/** After a loss deregistering fails, which is of no importance; closing is due all the same. */
function close(): void {
  if (connection === null) return;
  if (registration !== -1) libvirt.connectDomainEventDeregisterAny(connection, registration);
  libvirt.connectUnregisterCloseCallback(connection, onClose);
  libvirt.connectClose(connection);
  connection = null;
  registration = -1;
}

const NEVER = -1;
const timer = libvirt.eventAddTimeout(NEVER, loadLibc().nothing, null, null);
report({ kind: "running", timer });
while (Atomics.load(flags, STOP_FLAG) === 0) {
  // The timer is put to sleep before the flags are read, so that a flag set meanwhile wakes the next round.
  libvirt.eventUpdateTimeout(timer, NEVER);
  if (Atomics.exchange(flags, OPEN_FLAG, 0) === 1) open();
  else if (Atomics.load(flags, STOP_FLAG) === 0) libvirt.eventRunDefaultImpl();
  // Every call on every connection changes what the loop watches and so wakes it, some ten times for one question.
  // After a rest it finds all of that at once, and those who call are not held up by it.
  Atomics.wait(flags, STOP_FLAG, 0, LIBVIRT_LOOP_REST_MS);
}
close();
// One more round lets libvirt finish what closing has put off; the timer keeps it from waiting.
libvirt.eventUpdateTimeout(timer, 0);
libvirt.eventRunDefaultImpl();
libvirt.eventRemoveTimeout(timer);
releaseCallback(onLifecycle);
releaseCallback(onClose);
