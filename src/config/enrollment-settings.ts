// SPDX-License-Identifier: Apache-2.0
// The section `enrollment`: who signs the certificates of hosts.
import { z } from "zod";
import type { AuthorityFileNames } from "../lib/authority-files.js";
import { MAX_CERTIFICATE_DAYS } from "../lib/limits.js";

/** How hosts come by certificates. */
export const enrollmentSchema = z
  .strictObject({
    ca_cert: z
      .string()
      .min(1)
      .optional()
      .describe(
        "PEM file of the authority that signs hosts' certificates, and after it of one more that is believed too; the same on every controller; unset = hosts cannot enrol here.",
      ),
    ca_key: z
      .string()
      .min(1)
      .optional()
      .describe(
        "PEM file of the key of the first authority in enrollment.ca_cert; others must not be able to read it.",
      ),
    certificate_days: z
      .int()
      .min(1)
      .max(MAX_CERTIFICATE_DAYS)
      .default(7)
      .describe(
        `For how many days a host's certificate is good, 1 to ${MAX_CERTIFICATE_DAYS}; agents renew theirs at two thirds of it.`,
      ),
  })
  .refine(({ ca_cert: cert, ca_key: key }) => cert === undefined || key !== undefined, {
    path: ["ca_cert"],
    error: "needs enrollment.ca_key",
  })
  .refine(({ ca_cert: cert, ca_key: key }) => key === undefined || cert !== undefined, {
    path: ["ca_key"],
    error: "needs enrollment.ca_cert",
  });

/** Where the authority of hosts' certificates is; undefined where hosts cannot enrol. */
export function authorityFiles({
  ca_cert: cert,
  ca_key: key,
}: Pick<z.infer<typeof enrollmentSchema>, "ca_cert" | "ca_key">): AuthorityFileNames | undefined {
  return cert === undefined || key === undefined ? undefined : { cert, key };
}
