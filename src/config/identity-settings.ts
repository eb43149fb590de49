// SPDX-License-Identifier: Apache-2.0
// The section `identity`; what is about Keystone is next door.
import { z } from "zod";
import { keystoneProblems, keystoneShape } from "./keystone-settings.js";
import { ROLES } from "./policy-table.js";

/** Whom callers are taken for. */
export const identitySchema = z
  .strictObject({
    trust_loopback: z
      .boolean()
      .default(false)
      .describe(
        "Whether callers on this machine that show no token are identity.loopback_caller, over REST, unless there is a Keystone, those with any token; a web server on this machine brings in everybody else too. Otherwise every caller needs a token.",
      ),
    loopback_caller: z
      .strictObject({
        subject: z.string().min(1).default("loopback").describe("Name of the caller in logs and audit."),
        project: z
          .string()
          .default("")
          .describe("The project whose instances the caller sees; an admin sees every project's."),
        roles: z
          .array(z.enum(ROLES))
          .min(1)
          .default(["admin"])
          .describe(`The caller's roles: ${ROLES.join(", ")}.`),
      })
      .prefault({}),
    ...keystoneShape,
  })
  .superRefine((identity, context) => {
    for (const { path, error } of keystoneProblems(identity)) {
      context.addIssue({ code: "custom", path: [path], message: error });
    }
  });
