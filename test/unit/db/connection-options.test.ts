// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import pg from "pg";
import { connectionOptions, connectionString } from "../../../src/db/connection-options.js";

describe("connectionString", () => {
  it("leaves a URL alone where no password is given", () => {
    expect(connectionString({ url: "postgresql://u:p@h/db" })).to.equal("postgresql://u:p@h/db");
  });

  for (const url of ["postgresql://u@h:5433/db", "postgresql://u:old@h/db", "postgresql:///db?host=/run/postgresql"]) {
    it(`puts a password with any characters into ${url}`, () => {
      const password = "p@ss/w?rd&=%20 ü";
      const client = new pg.Client(connectionOptions({ url, password }));
      expect(client.password).to.equal(password);
      expect(client.database).to.equal("db");
    });
  }
});
