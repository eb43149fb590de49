// SPDX-License-Identifier: Apache-2.0
// How certificates are made here, whoever they are for. It knows nothing of hosts' rights or of files.
import type { Extension, JsonName, Name } from "@peculiar/x509";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { KeyObject, X509Certificate as NodeCertificate } from "node:crypto";
import { generateKeyPairSync, randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import { CERTIFICATE_BACKDATED_MS } from "../lib/limits.js";
import { CURVES } from "../lib/strong-key.js";

/** Who signs. */
export interface Issuer {
  readonly certificate: NodeCertificate;
  readonly key: KeyObject;
}

/** What a certificate says. */
export interface CertificateWish {
  /** For people; what counts are the names. */
  readonly subject: string;
  /** DNS names and addresses. */
  readonly names: readonly string[];
  readonly use: "client" | "server";
  readonly publicKey: KeyObject;
  readonly serial: string;
  /** When it is issued; it is good from a little earlier on. */
  readonly at: Date;
  readonly until: Date;
}

/** Any certificate with its key, both in PEM form. */
export interface KeptCertificate {
  readonly certificate: string;
  readonly key: string;
}

const DAY_MS = 86_400_000;
const SERIAL_BYTES = 16;
const RSA = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
const USES = { client: ExtendedKeyUsage.clientAuth, server: ExtendedKeyUsage.serverAuth };

/** A serial number that nobody can guess: 126 random bits in 32 hexadecimal digits, of which the first is no zero. */
export function createSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString("hex");
}

/** A new key of the kind that is used here: ECDSA on P-256. */
export function createKey(): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

/** Makes an authority: a certificate that has signed itself. */
export async function createAuthority(name: string, days: number): Promise<KeptCertificate> {
  const { publicKey, privateKey } = createKey();
  const subject = [{ CN: [name] }];
  const extensions = [
    new BasicConstraintsExtension(true, 0, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await SubjectKeyIdentifierExtension.create(await cryptoKey(publicKey), false, webcrypto),
  ];
  const times = lifetime(new Date(), days);
  const names = { subject, issuer: subject };
  const certificate = await sign({ ...names, ...times, serial: createSerial(), publicKey, extensions }, privateKey);
  return { certificate, key: pemOfKey(privateKey) };
}

/** Makes a certificate of somebody's public key, in PEM form. */
export async function issueCertificate({ certificate, key }: Issuer, wish: CertificateWish): Promise<string> {
  const issuer = new X509Certificate(certificate.raw);
  const { subject, serial, publicKey, at, until } = wish;
  const keyId = issuer.getExtension(SubjectKeyIdentifierExtension)?.keyId;
  const extensions = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([USES[wish.use]]),
    new SubjectAlternativeNameExtension(wish.names.map((name) => ({ type: isIP(name) ? "ip" : "dns", value: name }))),
    ...(keyId === undefined ? [] : [new AuthorityKeyIdentifierExtension(keyId)]),
  ];
  const names = { subject: [{ CN: [subject] }], issuer: issuer.subjectName };
  return sign({ ...names, from: backdated(at), until, serial, publicKey, extensions }, key);
}

/** Makes a certificate and its key for a listener at these names and addresses. */
export async function issueServerCertificate(
  issuer: Issuer,
  names: readonly string[],
  days: number,
): Promise<KeptCertificate> {
  const { publicKey, privateKey } = createKey();
  const at = new Date();
  const { until } = lifetime(at, days);
  const wish = {
    subject: "spicegate controller",
    names,
    use: "server",
    publicKey,
    serial: createSerial(),
    at,
    until,
  } as const;
  return { certificate: await issueCertificate(issuer, wish), key: pemOfKey(privateKey) };
}

interface Contents {
  readonly subject: JsonName;
  readonly issuer: JsonName | Name;
  readonly serial: string;
  readonly from: Date;
  readonly until: Date;
  readonly publicKey: KeyObject;
  readonly extensions: Extension[];
}

async function sign(contents: Contents, key: KeyObject): Promise<string> {
  const { subject, issuer, serial: serialNumber, from: notBefore, until: notAfter, extensions } = contents;
  const publicKey = await cryptoKey(contents.publicKey);
  const signingKey = await cryptoKey(key);
  const signingAlgorithm = key.asymmetricKeyType === "rsa" ? RSA : { name: "ECDSA", hash: "SHA-256" };
  const made = await X509CertificateGenerator.create(
    { subject, issuer, serialNumber, notBefore, notAfter, extensions, publicKey, signingKey, signingAlgorithm },
    webcrypto,
  );
  return `${made.toString("pem")}\n`;
}

function lifetime(at: Date, days: number): Pick<Contents, "from" | "until"> {
  return { from: backdated(at), until: new Date(at.getTime() + days * DAY_MS) };
}

function backdated(at: Date): Date {
  return new Date(at.getTime() - CERTIFICATE_BACKDATED_MS);
}

/** The key as web cryptography wants it. */
function cryptoKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const isPrivate = key.type === "private";
  const der = key.export({ type: isPrivate ? "pkcs8" : "spki", format: "der" } as { type: "spki"; format: "der" });
  const namedCurve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ""] ?? "";
  const algorithm = key.asymmetricKeyType === "rsa" ? RSA : { name: "ECDSA", namedCurve };
  return webcrypto.subtle.importKey(isPrivate ? "pkcs8" : "spki", der, algorithm, true, [
    isPrivate ? "sign" : "verify",
  ]);
}

function pemOfKey(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
