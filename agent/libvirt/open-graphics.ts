// SPDX-License-Identifier: Apache-2.0
import { LIBVIRT_MONITOR_BUSY_MS } from "../../src/lib/limits.js";
import { failureOf, ifSupported, nonNegative } from "./connection.js";
import type { DomainHandles } from "./domain-handles.js";
import type { GraphicsAnswer, GraphicsQuestion, GraphicsRefusal } from "./messages.js";
import type { Libvirt, Pointer } from "./native.js";
import {
  VIR_DOMAIN_CONTROL_OCCUPIED,
  VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH,
  VIR_ERR_ARGUMENT_UNSUPPORTED,
  VIR_ERR_NO_DOMAIN,
  VIR_ERR_NO_SUPPORT,
  VIR_ERR_OPERATION_INVALID,
  VIR_ERR_OPERATION_UNSUPPORTED,
} from "./native.js";

const REFUSALS: ReadonlyMap<number, GraphicsRefusal> = new Map([
  [VIR_ERR_NO_DOMAIN, "no-domain"],
  [VIR_ERR_OPERATION_INVALID, "not-running"],
  [VIR_ERR_NO_SUPPORT, "unsupported"],
  [VIR_ERR_ARGUMENT_UNSUPPORTED, "unsupported"],
  [VIR_ERR_OPERATION_UNSUPPORTED, "unsupported"],
]);
/** virDomainControlInfo: two 32-bit numbers (state, details) and a 64-bit one (milliseconds in that state). */
const CONTROL_INFO = { bytes: 16, since: 8 } as const;

/**
 * Opens a display of a live domain, past any password it has: whoever asks has been admitted already. Blocks as long as
 * the guest's QEMU does not answer libvirt. Throws where the connection is lost or libvirt fails otherwise.
 */
export function openGraphics(
  libvirt: Libvirt,
  handles: DomainHandles,
  { uuid, index }: GraphicsQuestion,
): GraphicsAnswer {
  try {
    const domain = handles.find(uuid);
    if (isSilent(libvirt, domain)) return { refusal: "silent" };
    return { fd: nonNegative(libvirt, libvirt.domainOpenGraphicsFd(domain, index, VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)) };
  } catch (error) {
    const { code, lost } = failureOf(error);
    const refusal = REFUSALS.get(code);
    if (lost || refusal === undefined) throw error;
    if (refusal === "no-domain") handles.forget(uuid);
    return { refusal };
  }
}

/**
 * True where the guest's QEMU owes libvirt an answer for some time. Every further command to it would hold one of
 * libvirtd's few workers until it goes on, so a frozen guest is asked once and no more.
 */
function isSilent(libvirt: Libvirt, domain: Pointer): boolean {
  const info = Buffer.alloc(CONTROL_INFO.bytes);
  const known = ifSupported(() => nonNegative(libvirt, libvirt.domainGetControlInfo(domain, info, 0)), undefined);
  if (known === undefined || info.readUInt32LE(0) !== VIR_DOMAIN_CONTROL_OCCUPIED) return false;
  return info.readBigUInt64LE(CONTROL_INFO.since) > LIBVIRT_MONITOR_BUSY_MS;
}
