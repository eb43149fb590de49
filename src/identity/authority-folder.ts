// SPDX-License-Identifier: Apache-2.0
// The files of an authority of our own: made once, and used on the machine where they are. Nothing that exists is ever
// overwritten: a key that is gone takes everything with it that was signed by it.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readAuthorityFiles } from "../lib/authority-files.js";
import type { AuthorityFileNames } from "../lib/authority-files.js";
import type { KeptCertificate } from "./certificates.js";
import { createAuthority, issueServerCertificate } from "./certificates.js";

/** A certificate for the listeners of a controller. */
export interface ControllerCertificateWish {
  /** Where the authority is. */
  readonly authority: string;
  /** Where the certificate goes. */
  readonly out: string;
  /** Names and addresses by which agents and clients reach it. */
  readonly names: readonly string[];
  readonly days: number;
}

const KEY_MODE = 0o600;
const CERTIFICATE_MODE = 0o644;
const FOLDER_MODE = 0o700;

/** Makes an authority in a folder: ca.pem and ca.key. Throws where one of them exists. */
export async function initAuthority(folder: string, name: string, days: number): Promise<AuthorityFileNames> {
  const files = authorityIn(folder);
  save(files, await createAuthority(name, days));
  return files;
}

/** Makes controller.pem, with the authority's certificate behind its own, and controller.key. Throws where one exists. */
export async function issueForController(wish: ControllerCertificateWish): Promise<AuthorityFileNames> {
  const { certificates, key } = readAuthorityFiles(authorityIn(wish.authority));
  const [authority] = certificates;
  const made = await issueServerCertificate({ certificate: authority, key }, wish.names, wish.days);
  const files = { cert: join(wish.out, "controller.pem"), key: join(wish.out, "controller.key") };
  save(files, { ...made, certificate: made.certificate + authority.toString() });
  return files;
}

function authorityIn(folder: string): AuthorityFileNames {
  return { cert: join(folder, "ca.pem"), key: join(folder, "ca.key") };
}

/** Both or neither. */
function save(files: AuthorityFileNames, { certificate, key }: KeptCertificate): void {
  mkdirSync(join(files.cert, ".."), { recursive: true, mode: FOLDER_MODE });
  writeFileSync(files.key, key, { flag: "wx", mode: KEY_MODE });
  try {
    writeFileSync(files.cert, certificate, { flag: "wx", mode: CERTIFICATE_MODE });
  } catch (error) {
    rmSync(files.key);
    throw error;
  }
}
