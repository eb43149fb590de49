// SPDX-License-Identifier: Apache-2.0
// The settings by which every listener, and every agent, encrypts: one part of the schema, one rule, for all of them. In
// the clear only what stays on this machine goes; anything else needs a certificate, or its operator's word.
import { z } from "zod";
import { LOOPBACK_ONLY, staysOnLoopback } from "./listen-address.js";
import { messageOf } from "./message-of.js";
import type { TlsFileNames } from "./tls-files.js";
import { readTlsIdentity } from "./tls-files.js";

/** The settings of one section that encrypts. */
export interface TlsSettings {
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly ca_file?: string | undefined;
  readonly insecure: boolean;
}

const file = (): z.ZodString => z.string().min(1);

/** cert, key and insecure of a section; `whose` says for people what they are of: "api.listen". */
export function tlsSettings(section: string, whose: string) {
  return {
    cert: file()
      .optional()
      .describe(
        `PEM file of the certificate of ${whose} and of its issuers, read again when it changes; unset = no TLS.`,
      ),
    key: file().optional().describe(`PEM file of its key; unset = the key is in the file of ${section}.cert.`),
    insecure: z
      .boolean()
      .default(false)
      .describe(
        `Whether ${whose} may go beyond this machine without TLS, where everybody on the way reads along; warned of at every start.`,
      ),
  };
}

/** ca_file of a section whose other ends show certificates too; `whom` says for people who that is: "agents". */
export function authoritiesSetting(whom: string) {
  return {
    ca_file: file()
      .optional()
      .describe(
        `PEM file of the authorities, one or two, that sign the certificates of ${whom}; read again when it changes.`,
      ),
  };
}

/** Checks a section: `addresses` are those of its settings that hold addresses. */
export function checkTls<S extends TlsSettings>(
  section: string,
  addresses: readonly (keyof S & string)[],
): (settings: S, context: z.core.$RefinementCtx<S>) => void {
  return (settings, context) => {
    const { cert, key, ca_file: ca, insecure } = settings;
    const say = (name: string, message: string): void =>
      context.addIssue({ code: "custom", path: [name], message, input: settings });
    if (cert === undefined && key !== undefined) say("key", `needs ${section}.cert`);
    if (cert === undefined && ca !== undefined) say("ca_file", `needs ${section}.cert`);
    if (cert !== undefined && insecure) say("insecure", `contradicts ${section}.cert: take one of the two out`);
    if (cert !== undefined || insecure) return;
    const advice = `set ${section}.cert, or, if everybody on the way may read along, ${section}.insecure: true`;
    for (const name of addresses) if (!allLoopback(settings[name])) say(name, `${LOOPBACK_ONLY}; ${advice}`);
  };
}

function allLoopback(setting: unknown): boolean {
  const texts: readonly unknown[] = Array.isArray(setting) ? setting : [setting];
  return texts.every((text) => typeof text !== "string" || staysOnLoopback(text));
}

/** The files that a section names; undefined where it does not encrypt. */
export function tlsFileNames({
  cert,
  key = cert,
  ca_file: ca,
}: Omit<TlsSettings, "insecure">): TlsFileNames | undefined {
  return cert === undefined || key === undefined ? undefined : { cert, key, ca };
}

/** What is wrong with the files of a section, now, before anything starts; they are read again at the start and after. */
export function tlsFileProblems(section: string, settings: TlsSettings): readonly string[] {
  const files = tlsFileNames(settings);
  if (!files) return [];
  try {
    readTlsIdentity(files);
    return [];
  } catch (error) {
    return [`${section}.cert: ${messageOf(error)}`];
  }
}
