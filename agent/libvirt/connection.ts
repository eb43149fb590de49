// SPDX-License-Identifier: Apache-2.0
import { LIBVIRT_KEEPALIVE_COUNT, LIBVIRT_KEEPALIVE_S } from "../../src/lib/limits.js";
import type { LibvirtFailure } from "./messages.js";
import type { Libvirt, Pointer } from "./native.js";
import {
  VIR_ERR_INTERNAL_ERROR,
  VIR_ERR_ACCESS_DENIED,
  VIR_ERR_NO_SUPPORT,
  VIR_ERR_RPC,
  VIR_ERR_SYSTEM_ERROR,
  VIR_FROM_RPC,
} from "./native.js";

/** The codes that a lost connection has, where libvirt's RPC layer says them; there is none of its own for it. */
const LOST_CODES = [VIR_ERR_INTERNAL_ERROR, VIR_ERR_SYSTEM_ERROR, VIR_ERR_RPC];
/** The driver lacks the call; or polkit's rules, where libvirtd asks them about single calls, do not let us make it. */
const UNAVAILABLE_CODES = [VIR_ERR_NO_SUPPORT, VIR_ERR_ACCESS_DENIED];

/** libvirt said no. Only inside workers; the main thread sees the failure. */
export class LibvirtError extends Error {
  override readonly name = "LibvirtError";
  readonly failure: LibvirtFailure;

  constructor(failure: LibvirtFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

/**
 * This thread's last error. Ask before calling libvirt again: even virConnectIsAlive clears it, so a loss is judged by
 * the error alone. A connection wrongly taken for lost is merely opened again.
 */
export function lastError(libvirt: Libvirt): LibvirtError {
  const code = libvirt.getLastErrorCode();
  const lost = libvirt.getLastErrorDomain() === VIR_FROM_RPC && LOST_CODES.includes(code);
  return new LibvirtError({ code, message: libvirt.getLastErrorMessage(), lost });
}

/** The failure that stands for anything thrown inside a worker. */
export function failureOf(error: unknown): LibvirtFailure {
  if (error instanceof LibvirtError) return error.failure;
  return { code: VIR_ERR_INTERNAL_ERROR, message: String(error), lost: false };
}

/** Passes on what a call returned, or throws the last error where it was NULL. */
export function nonNull<T>(libvirt: Libvirt, value: T | null): T {
  if (value === null) throw lastError(libvirt);
  return value;
}

/** Passes on what a call returned, or throws the last error where it was -1. */
export function nonNegative(libvirt: Libvirt, value: number): number {
  if (value < 0) throw lastError(libvirt);
  return value;
}

/** Passes on what a call returned, or `otherwise` where this hypervisor's driver lacks the call, or libvirt forbids it to us. */
export function ifSupported<T>(call: () => T, otherwise: T): T {
  try {
    return call();
  } catch (error) {
    if (UNAVAILABLE_CODES.includes(failureOf(error).code)) return otherwise;
    throw error;
  }
}

/** Opens a connection that notices a silent libvirtd by itself. Blocks as long as libvirtd does; throws LibvirtError. */
export function openConnection(libvirt: Libvirt, uri: string): Pointer {
  const connection = nonNull(libvirt, libvirt.connectOpen(uri));
  const keepAlive = libvirt.connectSetKeepAlive(connection, LIBVIRT_KEEPALIVE_S, LIBVIRT_KEEPALIVE_COUNT);
  try {
    ifSupported(() => nonNegative(libvirt, keepAlive), 0);
  } catch (error) {
    libvirt.connectClose(connection);
    throw error;
  }
  return connection;
}
