// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import {
  consoleFromMessage,
  consoleFromText,
  messageFromConsole,
  textFromConsole,
  tokenHashFrom,
} from "../../../src/consoleauth/console-messages.js";
import { hashNamed, legacyConsole } from "../../harness/legacy-consoles.js";

describe("Messages of consoleauth", () => {
  const message = messageFromConsole(legacyConsole());

  it("say the same after the way there and back", () => {
    for (const console of [
      legacyConsole(),
      legacyConsole({ port: undefined, tlsPort: 5901, internalAccessPath: "/path", createdBy: "" }),
    ]) {
      expect(consoleFromMessage(messageFromConsole(console))).to.deep.equal(console);
      expect(consoleFromText(textFromConsole(console))).to.deep.equal(console);
    }
  });

  it("carry nothing but what the protocol names", () => {
    const console = { ...legacyConsole(), token: "secret" };
    expect(messageFromConsole(console)).not.to.have.property("token");
  });

  it("are refused by the name of the field that is wrong", () => {
    const wrong = {
      instanceUuid: ["", "x"],
      consoleType: ["", "x".repeat(33), "a\nb"],
      host: ["", "x".repeat(254)],
      port: [65_536],
      tlsPort: [65_536],
      internalAccessPath: ["x".repeat(256), "a\0b"],
      accessUrlBase: ["x".repeat(256)],
      createdBy: ["x".repeat(256), "a\u202eb"],
      expiresAt: [new Date(NaN), new Date(8.64e15)],
    };
    for (const [name, values] of Object.entries(wrong)) {
      const field = `console.${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
      for (const value of values) {
        expect(() => consoleFromMessage({ ...message, [name]: value }), `${name} ${String(value)}`)
          .to.throw(field)
          .with.property("reason", "INVALID_ARGUMENT");
      }
    }
    expect(() => consoleFromMessage(undefined)).to.throw("console must be given");
  });

  it("last as long as any may where they say no expiry", () => {
    expect(consoleFromMessage({ ...message, expiresAt: undefined }).expiresAt.getUTCFullYear()).to.equal(9999);
  });

  it("are unknown where somebody else wrote the text", () => {
    for (const text of ["", "nonsense", '{"token": 1}', textFromConsole(legacyConsole({ host: "" }))]) {
      expect(consoleFromText(text), text).to.equal(undefined);
    }
  });

  it("name a token by 64 lower-case digits", () => {
    expect(tokenHashFrom(hashNamed("a"))).to.equal(hashNamed("a"));
    for (const text of ["", "a".repeat(63), "A".repeat(64), `${"a".repeat(64)}\n`]) {
      expect(() => tokenHashFrom(text), text).to.throw("token_hash must be 64 lower-case hexadecimal digits");
    }
  });
});
