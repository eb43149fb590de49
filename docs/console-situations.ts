// SPDX-License-Identifier: Apache-2.0
// Every situation in which GetSpiceConsole is asked, and what it answers. docs/errors.md shows this table, and a system
// test provokes each row: a row without its test, or a test without its row, fails.
import type { ErrorReason } from "../src/lib/service-error.js";

/** One situation and its answer. */
export interface ConsoleSituation {
  /** In words; also the name of the test. */
  readonly situation: string;
  /** The reason, or OK where the console opens. */
  readonly answer: ErrorReason | "OK";
  /** What the person in front of it does next. */
  readonly next: string;
}

/** In the order in which GetSpiceConsole checks them. */
export const CONSOLE_SITUATIONS = [
  { situation: "malformed uuid", answer: "INVALID_ARGUMENT", next: "Send the UUID in its form of 36 characters." },
  {
    situation: "role without the verb",
    answer: "PERMISSION_DENIED",
    next: "Ask for the member role, or a role that has console:open.",
  },
  { situation: "unknown instance", answer: "INSTANCE_NOT_FOUND", next: "Check the UUID with ListInstances." },
  {
    situation: "another project's instance",
    answer: "INSTANCE_NOT_FOUND",
    next: "The same as unknown, so that nobody learns what others have.",
  },
  {
    situation: "inventory incomplete",
    answer: "INVENTORY_INCOMPLETE",
    next: "Wait a second and ask again: a host is still reporting.",
  },
  { situation: "no host", answer: "INSTANCE_NOT_READY", next: "Wait until the instance is placed on a host." },
  { situation: "deleting", answer: "INSTANCE_BUSY", next: "The instance is going away." },
  { situation: "migrating", answer: "INSTANCE_BUSY", next: "Ask again when the migration is over." },
  { situation: "wrong console type", answer: "CONSOLE_TYPE_INVALID", next: "Use spice-html5 or spice-direct." },
  { situation: "agent not connected", answer: "AGENT_UNAVAILABLE", next: "Start spicegate-agent on the host." },
  { situation: "agent silent", answer: "AGENT_TIMEOUT", next: "Look at the agent's log; restart it if it hangs." },
  {
    situation: "SPICE disabled on the host",
    answer: "SPICE_DISABLED",
    next: "Set spice.enabled in the agent's settings.",
  },
  {
    situation: "host without SPICE",
    answer: "HOST_LACKS_SPICE",
    next: "Install QEMU's SPICE modules, or move the instance.",
  },
  {
    situation: "libvirt down",
    answer: "HYPERVISOR_UNAVAILABLE",
    next: "Start libvirtd; the agent finds it by itself.",
  },
  {
    situation: "libvirt stopped with SIGSTOP",
    answer: "HYPERVISOR_UNAVAILABLE",
    next: "Let libvirtd continue, or restart it.",
  },
  { situation: "building without a domain", answer: "INSTANCE_NOT_READY", next: "Wait until the instance is built." },
  {
    situation: "domain gone",
    answer: "INSTANCE_NOT_FOUND",
    next: "The host no longer has the machine; ask the orchestrator.",
  },
  { situation: "not running", answer: "INSTANCE_NOT_RUNNING", next: "Start the instance." },
  { situation: "saved", answer: "INSTANCE_NOT_RUNNING", next: "Restore the instance." },
  { situation: "paused by a user", answer: "OK", next: "Open the URL; the screen stands still until it is resumed." },
  {
    situation: "no SPICE display",
    answer: "NO_SPICE_DISPLAY",
    next: "Add <graphics type='spice'/> to the machine and restart it.",
  },
  { situation: "listen none", answer: "OK", next: "Open the URL." },
  { situation: "listen socket", answer: "OK", next: "Open the URL." },
  { situation: "listen address", answer: "OK", next: "Open the URL." },
  { situation: "listen network", answer: "OK", next: "Open the URL." },
  { situation: "TLS-only display", answer: "OK", next: "Open the URL." },
  { situation: "several graphics elements", answer: "OK", next: "Open the URL; the first SPICE element is shown." },
  { situation: "spice-direct, listen address", answer: "OK", next: "Open the URL in the native proxy's viewer." },
  { situation: "spice-direct, TLS-only display", answer: "OK", next: "The same; the proxy dials tls_port." },
  {
    situation: "spice-direct, listen none",
    answer: "NO_NETWORK_DISPLAY",
    next: "Ask for spice-html5, or give the display a port.",
  },
  {
    situation: "spice-direct, listen socket",
    answer: "NO_NETWORK_DISPLAY",
    next: "Ask for spice-html5, or give the display a port.",
  },
  {
    situation: "Postgres down",
    answer: "DATABASE_UNAVAILABLE",
    next: "Start Postgres; the controller finds it by itself.",
  },
  {
    situation: "controller stopping",
    answer: "DRAINING",
    next: "Ask again; another controller, or the restarted one, answers.",
  },
  { situation: "caller cancelled", answer: "CANCELLED", next: "Nothing was stored and no URL issued." },
] as const satisfies readonly ConsoleSituation[];
