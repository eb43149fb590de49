// SPDX-License-Identifier: Apache-2.0
// Calls that have begun and say nothing: each holds its headers, and grpc-js waits for their message for ever.
import type { ServerInterceptingCallInterface, ServerInterceptor } from "@grpc/grpc-js";
import { ServerInterceptingCall } from "@grpc/grpc-js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { MAX_SILENT_CALLS, SILENT_CALL_MS } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import { statusFromError } from "./status-from-error.js";

/** Bounds how many calls of one server may be silent, and for how long. */
export class SilentCalls {
  readonly #clock: Clock;
  #count = 0;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** To be given to the server. */
  readonly interceptor: ServerInterceptor = (_method, call) => {
    if (this.#count >= MAX_SILENT_CALLS) return refused(call, crowded());
    const heard = this.#waitFor(call);
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMessage: (message, pass) => {
            heard();
            pass(message);
          },
          onReceiveHalfClose: (pass) => {
            heard();
            pass();
          },
          onCancel: heard,
        }),
    });
  };

  /** Ends the call where it stays silent. The returned function says that it has not; twice is harmless. */
  #waitFor(call: ServerInterceptingCallInterface): () => void {
    this.#count += 1;
    let silent = true;
    const cancel = this.#clock.after(SILENT_CALL_MS, () => {
      heard();
      call.sendStatus(statusFromError(tooSilent()));
    });
    const heard = (): void => {
      cancel();
      if (silent) this.#count -= 1;
      silent = false;
    };
    return heard;
  }
}

/** The same call, which is over as soon as it begins. */
function refused(call: ServerInterceptingCallInterface, error: ServiceError): ServerInterceptingCall {
  return new ServerInterceptingCall(call, {
    start: (next) => {
      next({ onReceiveMetadata: () => call.sendStatus(statusFromError(error)) });
    },
  });
}

function crowded(): ServiceError {
  return new ServiceError("LIMITED", "too many calls have begun that say nothing yet");
}

function tooSilent(): ServiceError {
  return new ServiceError("INVALID_ARGUMENT", `no message within ${SILENT_CALL_MS} ms`);
}
