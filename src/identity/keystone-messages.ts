// SPDX-License-Identifier: Apache-2.0
// Keystone's API (identity v3), as far as tokens need it.
import { z } from "zod";
import type { KeystoneUser } from "../config/keystone-settings.js";
import { MAX_NAME_LENGTH } from "../lib/limits.js";

const id = (): z.ZodString => z.string().min(1).max(MAX_NAME_LENGTH);

const tokenSchema = z.object({
  token: z.object({
    expires_at: z.string().refine((text) => !Number.isNaN(Date.parse(text)), "must be a time"),
    user: z.object({ id: id() }),
    project: z.object({ id: id() }).optional(),
    system: z.object({ all: z.boolean() }).optional(),
    roles: z.array(z.object({ name: z.string() })).default([]),
  }),
});

/** What a token stands for. */
export interface KeystoneToken {
  /** In milliseconds since 1970. */
  readonly expiresAt: number;
  readonly userId: string;
  /** Where the roles are had: in a project, in the whole system, or elsewhere (a domain, or nowhere at all). */
  readonly scope: { readonly kind: "project"; readonly id: string } | { readonly kind: "system" | "other" };
  /** Names of Keystone's roles. */
  readonly roles: readonly string[];
}

/** The token that the body of an answer describes. Throws an Error, without what the body says, where it describes none. */
export function tokenFrom(body: string): KeystoneToken {
  const { success, data, error } = tokenSchema.safeParse(jsonFrom(body));
  if (!success) throw new Error(`no description of a token: ${error.issues.map(({ path }) => path.join(".")).join()}`);
  const { expires_at: expiresAt, user, project, system, roles } = data.token;
  return {
    expiresAt: Date.parse(expiresAt),
    userId: user.id,
    scope: project ? { kind: "project", id: project.id } : { kind: system?.all === true ? "system" : "other" },
    roles: roles.map(({ name }) => name),
  };
}

/** The body that asks for a token by password. */
export function loginBody({ username, password, userDomain, project, projectDomain }: KeystoneUser): string {
  const user = { name: username, domain: { name: userDomain }, password };
  const scope = { project: { name: project, domain: { name: projectDomain } } };
  return JSON.stringify({ auth: { identity: { methods: ["password"], password: { user } }, scope } });
}

function jsonFrom(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return undefined;
  }
}
