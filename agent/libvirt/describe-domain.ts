// SPDX-License-Identifier: Apache-2.0
import { readDomainXml } from "../domain-xml.js";
import type { DomainState } from "../hypervisor.js";
import { failureOf, lastError, nonNegative, nonNull } from "./connection.js";
import { domainState, isOff } from "./domain-state.js";
import type { DomainHandles } from "./domain-handles.js";
import type { DomainAnswer, DomainQuestion } from "./messages.js";
import type { Libvirt, Pointer } from "./native.js";
import { VIR_ERR_NO_DOMAIN } from "./native.js";

/**
 * Looks a domain up: its state, unless it is known to run, and its XML. Returns undefined where it does not exist, also
 * where it vanishes on the way; throws where the connection is lost. Any other trouble belongs to this one domain and is
 * told as its problem.
 */
export function describeDomain(
  libvirt: Libvirt,
  handles: DomainHandles,
  { uuid, runs }: DomainQuestion,
): DomainAnswer | undefined {
  let name = "";
  let state: DomainState = "unknown";
  try {
    const domain = handles.find(uuid);
    name = libvirt.domainGetName(domain);
    state = runs ? "running" : readState(libvirt, domain);
    const xml = readDomainXml(nonNull(libvirt, libvirt.domainGetXmlDesc(domain, 0)));
    if (runs && !xml.active) return describeDomain(libvirt, handles, { uuid, runs: false });
    // It went off between the two questions: what the XML shows is only what was configured.
    if (!xml.active && (state === "running" || state === "paused")) state = "shut-off";
    return {
      // The handle may be older than the name.
      domain: { uuid, name: xml.name, state, displays: xml.displays, ...(xml.owner && { owner: xml.owner }) },
    };
  } catch (error) {
    const { code, message, lost } = failureOf(error);
    if (lost) throw error;
    if (code !== VIR_ERR_NO_DOMAIN) return { domain: { uuid, name, state, displays: [] }, problem: message };
    handles.forget(uuid);
    return undefined;
  }
}

function readState(libvirt: Libvirt, domain: Pointer): DomainState {
  const state = [0];
  const reason = [0];
  if (libvirt.domainGetState(domain, state, reason, 0) < 0) throw lastError(libvirt);
  const [number = 0] = state;
  const saved = isOff(number) && nonNegative(libvirt, libvirt.domainHasManagedSaveImage(domain, 0)) === 1;
  return domainState(number, reason[0] ?? 0, saved);
}
