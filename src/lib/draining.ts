// SPDX-License-Identifier: Apache-2.0
import { ServiceError } from "./service-error.js";

/** What everything new is refused with while a program stops. */
export function draining(): ServiceError {
  return new ServiceError("DRAINING", "this controller is stopping; ask again, another one answers");
}
