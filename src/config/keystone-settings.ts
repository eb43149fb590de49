// SPDX-License-Identifier: Apache-2.0
// The settings about Keystone, a part of the section "identity".
import { z } from "zod";
import { MAX_NAME_LENGTH } from "../lib/limits.js";
import { isLoopback } from "../lib/listen-address.js";
import { ConfigError } from "./load-config.js";
import { ROLES } from "./policy-table.js";
import { readAuthorities, readSecret } from "./setting-files.js";

const name = (): z.ZodString => z.string().min(1).max(MAX_NAME_LENGTH);

/** Settings by their names in the section. */
export const keystoneShape = {
  keystone_url: z
    .string()
    .refine(isServiceUrl, "must be an http or https URL without user, query and fragment")
    .optional()
    .describe(
      "Keystone, which is asked about tokens that are not ours: https://keystone.example/identity, with or without /v3; unset = only our own tokens are known.",
    ),
  keystone_public_url: z
    .string()
    .refine(isServiceUrl, "must be an http or https URL without user, query and fragment")
    .optional()
    .describe("Where clients that are not known are sent for a token; unset = identity.keystone_url."),
  keystone_ca_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      "PEM certificates of the authorities that Keystone's certificate must come from, read at the start; unset = the public ones.",
    ),
  keystone_insecure: z
    .boolean()
    .default(false)
    .describe("Whether Keystone may be asked over plain http beyond this machine, where others can read every token."),
  keystone_username: name().optional().describe("The user that asks Keystone; it needs Keystone's role service."),
  keystone_password_file: z
    .string()
    .min(1)
    .optional()
    .describe("A file that holds that user's password and nothing else, read at the start."),
  keystone_user_domain: name().default("Default").describe("The domain of that user."),
  keystone_project: name().default("service").describe("The project in which that user has its role."),
  keystone_project_domain: name().default("Default").describe("The domain of that project."),
  keystone_roles: z
    .record(name(), z.enum(ROLES))
    .default({ admin: "admin", member: "member", _member_: "member", reader: "reader" })
    .describe(
      `Which of our roles (${ROLES.join(", ")}) each of Keystone's stands for, by name in any case; one that is not listed stands for none.`,
    ),
  keystone_cache_seconds: z
    .int()
    .min(1)
    .max(3_600)
    .default(60)
    .describe(
      "For how many seconds an answer of Keystone counts; for as long a token that was revoked there goes on here; 1 to 3,600.",
    ),
};

type KeystoneShape = z.infer<z.ZodObject<typeof keystoneShape>>;

/** Who asks Keystone. */
export interface KeystoneUser {
  readonly username: string;
  readonly password: string;
  readonly userDomain: string;
  readonly project: string;
  readonly projectDomain: string;
}

/** How Keystone is asked, checked and with its files read. */
export interface KeystoneSettings {
  /** Without /v3 and slashes at the end. */
  readonly url: string;
  /** What clients are told. */
  readonly publicUrl: string;
  /** PEM certificates; undefined: the public authorities. */
  readonly ca: string | undefined;
  /** Whether tokens travel beyond this machine in the clear. */
  readonly inTheClear: boolean;
  readonly user: KeystoneUser;
  readonly roles: KeystoneShape["keystone_roles"];
  readonly cacheSeconds: number;
}

/** What settings about Keystone need of each other. */
export function keystoneProblems(settings: KeystoneShape): readonly { path: keyof KeystoneShape; error: string }[] {
  const { keystone_url: url, keystone_insecure: insecure } = settings;
  if (url === undefined) {
    const alone = (["keystone_username", "keystone_password_file"] as const).filter((path) => settings[path]);
    return alone.map((path) => ({ path, error: "needs identity.keystone_url" }));
  }
  const missing = (["keystone_username", "keystone_password_file"] as const).filter((path) => !settings[path]);
  const problems = missing.map((path) => ({ path, error: "must be set where identity.keystone_url is" }));
  if (insecure || !travelsInTheClear(url)) return problems;
  const error =
    "must be https beyond this machine; identity.keystone_insecure allows http, where others can read tokens";
  return [...problems, { path: "keystone_url", error }];
}

/** The settings with their files read; undefined where there is no Keystone. Throws ConfigError. */
export function readKeystoneSettings(settings: KeystoneShape): KeystoneSettings | undefined {
  const { keystone_url: url, keystone_username: username } = settings;
  const password = readPassword(settings.keystone_password_file);
  if (url === undefined || username === undefined || password === undefined) return undefined;
  return {
    url: url.replace(/\/+(v3\/*)?$/, ""),
    publicUrl: settings.keystone_public_url ?? url,
    ca: readAuthorities("identity.keystone_ca_file", settings.keystone_ca_file),
    inTheClear: travelsInTheClear(url),
    user: {
      username,
      password,
      userDomain: settings.keystone_user_domain,
      project: settings.keystone_project,
      projectDomain: settings.keystone_project_domain,
    },
    roles: settings.keystone_roles,
    cacheSeconds: settings.keystone_cache_seconds,
  };
}

function readPassword(file: string | undefined): string | undefined {
  const name = "identity.keystone_password_file";
  const password = readSecret(name, file);
  if (password === "") throw new ConfigError([`${name}: ${file} holds no password`]);
  return password;
}

/** Goes into a header as it is. */
function isServiceUrl(text: string): boolean {
  if (!/^https?:\/\/[\x21-\x7e]+$/.test(text) || /[?#"\\]/.test(text) || !URL.canParse(text)) return false;
  const { username, password } = new URL(text);
  return username + password === "";
}

/** What is no URL travels nowhere, and is refused for that. */
function travelsInTheClear(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === "http:" && !isLoopback(hostname.replace(/^\[|\]$/g, ""));
}
