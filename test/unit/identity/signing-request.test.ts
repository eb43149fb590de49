// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { execFileSync } from "node:child_process";
import { createPublicKey } from "node:crypto";
import { createKey } from "../../../agent/signing-request.js";
import { publicKeyFrom } from "../../../src/identity/signing-request.js";
import { MAX_SIGNING_REQUEST_BYTES } from "../../../src/lib/limits.js";
import { rejectionOf } from "../../harness/rejection.js";

/** A request as OpenSSL makes one. */
function requestOf(...newKey: string[]): Buffer {
  const names = ["-subj", "/CN=another-host", "-addext", "subjectAltName=DNS:another-host"];
  return execFileSync(
    "openssl",
    ["req", "-new", ...newKey, "-nodes", "-keyout", "/dev/null", ...names, "-outform", "DER"],
    {
      stdio: ["ignore", "pipe", "ignore"],
    },
  );
}

const ec = (curve: string): string[] => ["-newkey", "ec", "-pkeyopt", `ec_paramgen_curve:${curve}`];

describe("publicKeyFrom", () => {
  it("gives the key of the agent's own request", async () => {
    const { key, signingRequest } = await createKey();
    expect((await publicKeyFrom(signingRequest)).equals(createPublicKey(key))).to.equal(true);
  });

  it("takes ECDSA on P-256 and P-384, and RSA of 2048 bits, as OpenSSL asks for them", async () => {
    const keys = await Promise.all(
      [requestOf(...ec("prime256v1")), requestOf(...ec("secp384r1")), requestOf("-newkey", "rsa:2048")].map(
        publicKeyFrom,
      ),
    );
    expect(keys.map(({ asymmetricKeyType }) => asymmetricKeyType)).to.deep.equal(["ec", "ec", "rsa"]);
  });

  for (const [what, newKey] of Object.entries({
    "RSA of 1024 bits": ["-newkey", "rsa:1024"],
    "P-521": ec("secp521r1"),
    secp256k1: ec("secp256k1"),
    Ed25519: ["-newkey", "ed25519"],
  })) {
    it(`refuses ${what}`, async () => {
      expect(await rejectionOf(publicKeyFrom(requestOf(...newKey)))).to.include({ reason: "INVALID_ARGUMENT" });
    });
  }

  it("refuses a request that is not signed with its own key", async () => {
    const { signingRequest } = await createKey();
    const forged = Buffer.from(signingRequest);
    const last = forged.length - 1;
    forged.writeUInt8(forged.readUInt8(last) ^ 1, last);
    const error = await rejectionOf(publicKeyFrom(forged));
    expect(error).to.include({ reason: "INVALID_ARGUMENT" });
    expect(error.message).to.include("signed with its own key");
  });

  it("refuses what is no request, what is cut off, and what is too long", async () => {
    const { signingRequest } = await createKey();
    const texts = [Buffer.alloc(0), Buffer.from("hello"), signingRequest.subarray(0, -10)];
    for (const bytes of [...texts, Buffer.alloc(MAX_SIGNING_REQUEST_BYTES + 1)]) {
      expect(await rejectionOf(publicKeyFrom(bytes))).to.include({ reason: "INVALID_ARGUMENT" });
    }
  });
});
