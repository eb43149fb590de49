// SPDX-License-Identifier: Apache-2.0
import { ServiceError } from "../../src/lib/service-error.js";
import type { LibvirtFailure } from "./messages.js";

/** Where libvirt's errors become ours. Nobody else decides by a code of libvirt's. */

/** libvirt is away, silent, or refused the question. The message names libvirt's; there is nothing secret in it. */
export function hypervisorUnavailable(why: string): ServiceError {
  return new ServiceError("HYPERVISOR_UNAVAILABLE", `the hypervisor does not answer (${why}); try again in a moment`);
}

/** A connection could not be opened. Its message is libvirt's. */
export class HypervisorLost extends Error {
  override readonly name = "HypervisorLost";
  readonly failure: LibvirtFailure;

  constructor(failure: LibvirtFailure) {
    super(failure.message);
    this.failure = failure;
  }
}
