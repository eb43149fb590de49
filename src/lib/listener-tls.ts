// SPDX-License-Identifier: Apache-2.0
import { systemClock } from "./clock.js";
import type { NamedPart } from "./lifecycle.js";
import type { Log } from "./log.js";
import type { TlsFilesMetrics } from "./tls-files.js";
import { TlsFiles } from "./tls-files.js";
import type { ServerTls } from "./tls-server.js";
import type { TlsSettings } from "./tls-settings.js";
import { tlsFileNames } from "./tls-settings.js";

/** What a listener's TLS tells of itself through. */
export interface ListenerTlsOptions {
  readonly metrics: TlsFilesMetrics;
  readonly log: Log;
}

/** A listener's TLS. */
export interface ListenerTls {
  /** Undefined where it has no certificate. */
  readonly tls: ServerTls | undefined;
  /** What has to start before the listener. */
  readonly parts: readonly NamedPart[];
}

/** The TLS that the settings of a section ask for. */
export function listenerTls(section: string, settings: TlsSettings, options: ListenerTlsOptions): ListenerTls {
  const names = tlsFileNames(settings);
  if (!names) return { tls: undefined, parts: [] };
  const files = new TlsFiles({ ...options, name: section, files: names, clock: systemClock });
  return { tls: { files, log: options.log }, parts: [{ name: `${section} certificate`, part: files }] };
}
