// SPDX-License-Identifier: Apache-2.0
// What hosts send to have a key signed, tokens as people copy them, and policy tables as people write them.
import { expect } from "chai";
import fc from "fast-check";
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createKey } from "../../agent/signing-request.js";
import { ConfigError } from "../../src/config/load-config.js";
import { parsePolicy } from "../../src/config/policy-table.js";
import { publicKeyFrom } from "../../src/identity/signing-request.js";
import { createUserToken, isUserToken } from "../../src/identity/user-token.js";
import { createJoinToken, parseJoinToken } from "../../src/lib/join-token.js";
import { MAX_SIGNING_REQUEST_BYTES } from "../../src/lib/limits.js";
import { reasonOf } from "../../src/lib/service-error.js";
import { within } from "../harness/within.js";
import type { FuzzTarget } from "./fuzz-target.js";
import { spoilt, spoiltText, wordSalad } from "./mutations.js";
import { outcomeOf } from "./outcome.js";

const MOST_MS = 1_000;
const known = await createKey();
const policy = readFileSync("packaging/policy.sample.yaml", "utf8");
const WORDS = [
  ...["console:open", "host:write", "audit:read", ": ", "[", "]", "admin", "member", ", ", "\n", "- ", "{", "}"],
  ...["__proto__", "constructor", "toString", "~", "!!binary ", "&a ", "*a", "# "],
];

/** Only whoever has the key gets it signed: a request that is taken holds the key that has signed it. */
async function requests(bytes: Uint8Array): Promise<void> {
  const key = await within("a verdict", publicKeyFrom(bytes), MOST_MS).catch((error: unknown) => {
    expect(reasonOf(error), String(error)).to.equal("INVALID_ARGUMENT");
  });
  if (key) expect(key.equals(createPublicKey(known.key))).to.equal(true);
}

function tokens(text: string, certificate: Uint8Array): void {
  const { token, fingerprint } = createJoinToken(Buffer.from(certificate));
  expect(parseJoinToken(` ${token}\n`)).to.deep.equal({ token, fingerprint });
  const read = parseJoinToken(text);
  if (read) expect(text.trim()).to.equal(read.token);
  expect(isUserToken(createUserToken())).to.equal(true);
  expect(isUserToken(text)).to.be.a("boolean");
}

/** A table names every verb and gives nobody a verb that the text does not give; or all problems are told. */
function policies(text: string): void {
  const outcome = outcomeOf(
    () => parsePolicy(text),
    (error) => error instanceof ConfigError,
  );
  if (!outcome.ok) return;
  for (const [verb, roles] of Object.entries(outcome.value)) if (roles.length > 0) expect(text).to.include(verb);
}

/** Each reads anything, soon, and grants nothing by mistake. */
export const target: FuzzTarget = {
  runs: 300,
  property: fc.asyncProperty(
    fc.oneof(
      { weight: 4, arbitrary: spoilt(fc.constant(known.signingRequest)) },
      fc.uint8Array({ maxLength: MAX_SIGNING_REQUEST_BYTES + 1 }),
    ),
    fc.oneof(
      spoiltText(fc.constant(createJoinToken(Buffer.alloc(9)).token)),
      spoiltText(fc.constant(createUserToken())),
    ),
    fc.oneof(spoiltText(fc.constant(policy)), wordSalad(WORDS)),
    async (request, token, table) => {
      await requests(request);
      tokens(token, request);
      policies(table);
    },
  ),
};
