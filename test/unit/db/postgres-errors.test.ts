// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import pg from "pg";
import { serviceErrorFromPostgres, troubleOf } from "../../../src/db/postgres-errors.js";
import { ServiceError } from "../../../src/lib/service-error.js";

function databaseError(code: string): pg.DatabaseError {
  const error = new pg.DatabaseError("some text", 0, "error");
  error.code = code;
  return error;
}

describe("Errors of Postgres", () => {
  for (const code of ["08006", "28P01", "3D000", "57P01", "57P02", "57P03", "58030", "25006"]) {
    it(`takes ${code} for an outage`, () => {
      expect(troubleOf(databaseError(code))).to.equal("outage");
      expect(serviceErrorFromPostgres(databaseError(code)).reason).to.equal("DATABASE_UNAVAILABLE");
    });
  }

  for (const code of ["57014", "53300", "53100", "40001", "40P01", "55P03"]) {
    it(`takes ${code} for a server that is busy`, () => {
      expect(troubleOf(databaseError(code))).to.equal("busy");
      expect(serviceErrorFromPostgres(databaseError(code)).reason).to.equal("DATABASE_UNAVAILABLE");
    });
  }

  for (const code of ["42P01", "23505", "22P02", "XX000"]) {
    it(`takes ${code} for a mistake of ours`, () => {
      expect(serviceErrorFromPostgres(databaseError(code))).to.include({ reason: "INTERNAL" });
    });
  }

  it("takes an error without a code for an outage: the driver lost the connection", () => {
    expect(troubleOf(new Error("whatever it says"))).to.equal("outage");
    expect(troubleOf(Object.assign(new Error("x"), { code: "ECONNREFUSED" }))).to.equal("outage");
  });

  it("takes an error of the language for a mistake of ours", () => {
    expect(serviceErrorFromPostgres(new TypeError("x")).reason).to.equal("INTERNAL");
  });

  it("keeps the cause for the log and lets a ServiceError pass", () => {
    const cause = databaseError("57P01");
    expect(serviceErrorFromPostgres(cause).cause).to.equal(cause);
    const own = new ServiceError("INSTANCE_BUSY", "x");
    expect(serviceErrorFromPostgres(own)).to.equal(own);
  });
});
