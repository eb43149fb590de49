// SPDX-License-Identifier: Apache-2.0
import { ServiceError } from "../../src/lib/service-error.js";
import type { LibvirtFailure } from "./messages.js";

/** Where libvirt's errors become ours. Nobody else decides by a code of libvirt's. */

/** libvirt is away, silent, or refused the question. Its own words name files of the host, so they are for the log. */
export function hypervisorUnavailable(why: string): ServiceError {
  const message = "the hypervisor of the instance's host does not answer; try again in a moment";
  return new ServiceError("HYPERVISOR_UNAVAILABLE", message, { cause: why });
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
