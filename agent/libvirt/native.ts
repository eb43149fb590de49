// SPDX-License-Identifier: Apache-2.0
import type { LibraryHandle } from "koffi";
import koffi from "koffi";

/**
 * The C functions that the agent uses, and nothing else. libvirt keeps its last error per thread, so each worker loads
 * this for itself and calls synchronously. docs/decisions/0001-libvirt-binding.md says why it is done so.
 */

/** An address in C's memory; null is NULL. */
export type Pointer = bigint | null;

/** libvirt's numbers, by their names there. */
export const VIR_ERR_INTERNAL_ERROR = 1;
export const VIR_ERR_NO_SUPPORT = 3;
export const VIR_ERR_SYSTEM_ERROR = 38;
export const VIR_ERR_RPC = 39;
export const VIR_ERR_NO_DOMAIN = 42;
export const VIR_ERR_OPERATION_INVALID = 55;
export const VIR_ERR_ARGUMENT_UNSUPPORTED = 74;
export const VIR_ERR_OPERATION_UNSUPPORTED = 84;
export const VIR_ERR_ACCESS_DENIED = 88;
export const VIR_FROM_RPC = 7;
export const VIR_DOMAIN_EVENT_ID_LIFECYCLE = 0;
export const VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH = 1;
export const VIR_DOMAIN_CONTROL_OCCUPIED = 2;
const UUID_STRING_BYTES = 37;

/** What koffi makes of a library's function: a call that trusts its arguments. The types are ours to get right. */
type Native<A extends unknown[], R> = (...args: A) => R;

function loadLibrary(file: string): LibraryHandle {
  try {
    return koffi.load(file);
  } catch (cause) {
    throw new Error(`cannot load ${file}; install libvirt's client library (apt-get install libvirt0)`, { cause });
  }
}

function declareLibvirt() {
  const library = loadLibrary("libvirt.so.0");
  const define = <A extends unknown[], R>(definition: string): Native<A, R> => library.func(definition);
  return {
    eventRegisterDefaultImpl: define<[], number>("int virEventRegisterDefaultImpl()"),
    eventRunDefaultImpl: define<[], number>("int virEventRunDefaultImpl()"),
    eventAddTimeout: define<[number, Pointer, null, null], number>(
      "int virEventAddTimeout(int ms, void *callback, void *opaque, void *free)",
    ),
    eventUpdateTimeout: define<[number, number], undefined>("void virEventUpdateTimeout(int timer, int ms)"),
    eventRemoveTimeout: define<[number], number>("int virEventRemoveTimeout(int timer)"),
    setErrorFunc: define<[null, Pointer], undefined>("void virSetErrorFunc(void *data, void *handler)"),
    getLastErrorCode: define<[], number>("int virGetLastErrorCode()"),
    getLastErrorDomain: define<[], number>("int virGetLastErrorDomain()"),
    getLastErrorMessage: define<[], string>("const char *virGetLastErrorMessage()"),
    connectOpen: define<[string], Pointer>("void *virConnectOpen(const char *uri)"),
    connectClose: define<[Pointer], number>("int virConnectClose(void *connection)"),
    connectSetKeepAlive: define<[Pointer, number, number], number>(
      "int virConnectSetKeepAlive(void *connection, int seconds, unsigned int count)",
    ),
    connectRegisterCloseCallback: define<[Pointer, Pointer, null, null], number>(
      "int virConnectRegisterCloseCallback(void *connection, void *callback, void *opaque, void *free)",
    ),
    connectUnregisterCloseCallback: define<[Pointer, Pointer], number>(
      "int virConnectUnregisterCloseCallback(void *connection, void *callback)",
    ),
    connectDomainEventRegisterAny: define<[Pointer, null, number, Pointer, null, null], number>(
      "int virConnectDomainEventRegisterAny(void *connection, void *domain, int event, void *callback, void *opaque, void *free)",
    ),
    connectDomainEventDeregisterAny: define<[Pointer, number], number>(
      "int virConnectDomainEventDeregisterAny(void *connection, int callback)",
    ),
    connectGetLibVersion: define<[Pointer, number[]], number>(
      "int virConnectGetLibVersion(void *connection, _Out_ uint64_t *version)",
    ),
    connectGetVersion: define<[Pointer, number[]], number>(
      "int virConnectGetVersion(void *connection, _Out_ uint64_t *version)",
    ),
    connectGetType: define<[Pointer], string | null>("const char *virConnectGetType(void *connection)"),
    connectGetDomainCapabilities: define<[Pointer, null, null, null, null, number], string | null>(
      "str! virConnectGetDomainCapabilities(void *connection, void *emulator, void *arch, void *machine, void *type, unsigned int flags)",
    ),
    connectListAllDomains: define<[Pointer, Pointer[], number], number>(
      "int virConnectListAllDomains(void *connection, _Out_ void **domains, unsigned int flags)",
    ),
    domainLookupByUuidString: define<[Pointer, string], Pointer>(
      "void *virDomainLookupByUUIDString(void *connection, const char *uuid)",
    ),
    domainFree: define<[Pointer], number>("int virDomainFree(void *domain)"),
    domainGetName: define<[Pointer], string>("const char *virDomainGetName(void *domain)"),
    domainGetUuidString: define<[Pointer, Buffer], number>(
      "int virDomainGetUUIDString(void *domain, _Out_ uint8_t *text)",
    ),
    domainGetState: define<[Pointer, number[], number[], number], number>(
      "int virDomainGetState(void *domain, _Out_ int *state, _Out_ int *reason, unsigned int flags)",
    ),
    domainGetXmlDesc: define<[Pointer, number], string | null>(
      "str! virDomainGetXMLDesc(void *domain, unsigned int flags)",
    ),
    domainGetControlInfo: define<[Pointer, Buffer, number], number>(
      "int virDomainGetControlInfo(void *domain, _Out_ uint8_t *info, unsigned int flags)",
    ),
    domainOpenGraphicsFd: define<[Pointer, number, number], number>(
      "int virDomainOpenGraphicsFD(void *domain, unsigned int index, unsigned int flags)",
    ),
    domainHasManagedSaveImage: define<[Pointer, number], number>(
      "int virDomainHasManagedSaveImage(void *domain, unsigned int flags)",
    ),
  };
}

function declareLibc() {
  const library = koffi.load("libc.so.6");
  const define = <A extends unknown[], R>(definition: string): Native<A, R> => library.func(definition);
  return {
    getpeername: define<[number, Buffer, number[]], number>(
      "int getpeername(int fd, _Out_ uint8_t *address, _Inout_ uint32_t *length)",
    ),
    shutdown: define<[number, number], number>("int shutdown(int fd, int how)"),
    exitNow: define<[number], undefined>("void _exit(int code)"),
    /** A function that is safe to call as any callback and does nothing. */
    nothing: koffi.address(library.symbol("getpid")) as Pointer,
  };
}

/** libvirt's client library. */
export type Libvirt = ReturnType<typeof declareLibvirt>;
/** The C library. */
export type Libc = ReturnType<typeof declareLibc>;

let libvirt: Libvirt | undefined;
let libc: Libc | undefined;

/** libvirt, loaded once per thread. Throws an Error that names the package to install where it is missing. */
export function loadLibvirt(): Libvirt {
  libvirt ??= declareLibvirt();
  return libvirt;
}

/** The C library, loaded once per thread. */
export function loadLibc(): Libc {
  libc ??= declareLibc();
  return libc;
}

/** The UUID of a domain pointer, in lower case. */
export function domainUuid(library: Libvirt, domain: Pointer): string {
  const text = Buffer.alloc(UUID_STRING_BYTES);
  library.domainGetUuidString(domain, text);
  return text.toString("latin1", 0, UUID_STRING_BYTES - 1);
}

/** Takes the array of pointers that C filled, and frees it. */
export function takePointers(array: Pointer, count: number): Pointer[] {
  if (array === null) return [];
  const pointers = koffi.decode(array, "void *", count) as Pointer[];
  koffi.free(array);
  return pointers;
}

/** The C side of a lifecycle callback. Call it only on the thread that runs libvirt's event loop. */
export function lifecycleCallback(listener: (domain: Pointer, event: number, detail: number) => void): bigint {
  const type = koffi.proto(
    "int LifecycleCallback(void *connection, void *domain, int event, int detail, void *opaque)",
  );
  return koffi.register((_connection: Pointer, domain: Pointer, event: number, detail: number): number => {
    listener(domain, event, detail);
    return 0;
  }, koffi.pointer(type));
}

/** The C side of a close callback; the same rule applies. */
export function closeCallback(listener: (reason: number) => void): bigint {
  const type = koffi.proto("void CloseCallback(void *connection, int reason, void *opaque)");
  return koffi.register((_connection: Pointer, reason: number) => listener(reason), koffi.pointer(type));
}

/** Gives a callback back once C will not call it any more. */
export function releaseCallback(callback: bigint): void {
  koffi.unregister(callback);
}
