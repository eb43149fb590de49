// SPDX-License-Identifier: Apache-2.0
// Every option that Nova has for SPICE consoles, and what became of it. The loader, `check-config` and docs/settings.md
// read this table; it knows neither schema.

/** An option that works here, under its own name or as another name of one of ours. */
export interface TakenNovaOption {
  /** As Nova has it: section and option. */
  readonly name: string;
  /** Our setting; the same name where Nova's is kept. */
  readonly setting: string;
  /** Whose settings it belongs to. */
  readonly program: "controller" | "agent";
  /** Where it is one half of a setting of the form host:port. */
  readonly part?: "host" | "port";
  /** What differs from Nova; empty = nothing. */
  readonly note: string;
}

/** An option that has nothing to set here. */
export interface RefusedNovaOption {
  readonly name: string;
  /** Why, and what to do instead. */
  readonly reason: string;
}

/** An option of Nova. */
export type NovaOption = TakenNovaOption | RefusedNovaOption;

const MACHINE = "the machine is not defined here; where it is,";
const GRAPHICS = `${MACHINE} write it into its <graphics type='spice'>:`;

/** In Nova's order of sections. */
export const NOVA_OPTIONS: readonly NovaOption[] = [
  {
    name: "spice.enabled",
    setting: "spice.enabled",
    program: "agent",
    note: "On unless switched off; in Nova it is the other way round.",
  },
  { name: "spice.agent_enabled", reason: `${MACHINE} give it the channel com.redhat.spice.0 or leave it out` },
  {
    name: "spice.html5proxy_host",
    setting: "proxy.listen",
    program: "controller",
    part: "host",
    note: "Beyond loopback only with a certificate: without one Nova's own default, 0.0.0.0, is refused.",
  },
  { name: "spice.html5proxy_port", setting: "proxy.listen", program: "controller", part: "port", note: "" },
  {
    name: "spice.html5proxy_base_url",
    setting: "spice.html5proxy_base_url",
    program: "controller",
    note: "Read by the controller, not on the compute host; without query and fragment.",
  },
  {
    name: "spice.server_listen",
    reason: `${GRAPHICS} <listen/>. A display that listens nowhere is enough here`,
  },
  {
    name: "spice.server_proxyclient_address",
    setting: "spice.server_proxyclient_address",
    program: "agent",
    note: "Told to native proxies, and dialled here where displays.data_path is direct; usually the agent brings displays.",
  },
  { name: "spice.keymap", reason: "keys are sent as scan codes; choose the layout inside the guest" },
  { name: "spice.image_compression", reason: `${GRAPHICS} <image compression='…'/>` },
  { name: "spice.jpeg_compression", reason: `${GRAPHICS} <jpeg compression='…'/>` },
  { name: "spice.zlib_compression", reason: `${GRAPHICS} <zlib compression='…'/>` },
  { name: "spice.playback_compression", reason: `${GRAPHICS} <playback compression='…'/>` },
  { name: "spice.streaming_mode", reason: `${GRAPHICS} <streaming mode='…'/>` },
  {
    name: "spice.require_secure",
    reason: `${GRAPHICS} defaultMode='secure'. A display with TLS only opens here too`,
  },
  {
    name: "spice.spice_direct_proxy_base_url",
    setting: "spice.spice_direct_proxy_base_url",
    program: "controller",
    note: "Read by the controller; without query and fragment.",
  },
  {
    name: "consoleauth.token_ttl",
    setting: "consoleauth.token_ttl",
    program: "controller",
    note: "At least 10; Nova takes 0 as well.",
  },
  {
    name: "DEFAULT.console_token_ttl",
    setting: "consoleauth.token_ttl",
    program: "controller",
    note: "The older name, also in Nova.",
  },
  {
    name: "consoleauth.enforce_session_timeout",
    setting: "consoleauth.enforce_session_timeout",
    program: "controller",
    note: "Ends the session, with all its channels and in words, where Nova cuts each socket.",
  },
  {
    name: "workarounds.enable_consoleauth",
    setting: "workarounds.enable_consoleauth",
    program: "controller",
    note: "",
  },
  {
    name: "upgrade_levels.consoleauth",
    reason: "the legacy service has one version, the one of its release; take the option out",
  },
  {
    name: "console.allowed_origins",
    setting: "console.allowed_origins",
    program: "controller",
    note: "Whole origins (https://dashboard.example), not Nova's bare host names.",
  },
  {
    name: "DEFAULT.console_allowed_origins",
    setting: "console.allowed_origins",
    program: "controller",
    note: "The older name, also in Nova.",
  },
  { name: "console.ssl_ciphers", setting: "console.ssl_ciphers", program: "controller", note: "" },
  {
    name: "console.ssl_minimum_version",
    setting: "console.ssl_minimum_version",
    program: "controller",
    note: "TLS 1.2 is the least, also for default; tlsv1_1 is refused.",
  },
  {
    name: "DEFAULT.record",
    reason: "screens are not recorded; who opened which console, and for how long, is in the audit and the sessions",
  },
  { name: "DEFAULT.daemon", reason: "programs stay in the foreground; let systemd or a container run them" },
  {
    name: "DEFAULT.ssl_only",
    reason:
      "with a certificate the proxy speaks TLS only, without one only plain HTTP on loopback; take the option out",
  },
  { name: "DEFAULT.source_is_ipv6", reason: "write the IPv6 address itself: proxy.listen: '[::1]:6082'" },
  {
    name: "DEFAULT.cert",
    setting: "proxy.cert",
    program: "controller",
    note: "Unset there is no TLS; Nova then looks for self.pem.",
  },
  { name: "DEFAULT.key", setting: "proxy.key", program: "controller", note: "" },
  {
    name: "DEFAULT.web",
    setting: "proxy.web",
    program: "controller",
    note: "Served only where console.compat_tokens is on; otherwise the page is our own.",
  },
  {
    name: "DEFAULT.instance_delete_interval",
    reason:
      "expired tokens are deleted every 10 seconds by one controller, which costs nothing worth tuning, and the purge cannot be switched off; take the option out",
  },
  { name: "cache.enabled", setting: "cache.enabled", program: "controller", note: "For the legacy store only." },
  {
    name: "cache.memcache_servers",
    setting: "cache.memcache_servers",
    program: "controller",
    note: "For the legacy store only.",
  },
];

/** Nova's other names of one of our settings, in the order of the table. */
export function novaNames(setting: string): string[] {
  const isAlias = (option: NovaOption): boolean =>
    "setting" in option && option.setting === setting && option.name !== setting;
  return NOVA_OPTIONS.filter(isAlias).map(({ name }) => name);
}
