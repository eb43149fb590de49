// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { FastifyRequest } from "fastify";
import type { ServerQuery } from "../../../src/gateway/server-query.js";
import { namePartOf, serverQueryOf } from "../../../src/gateway/server-query.js";
import type { Caller } from "../../../src/rpc/caller.js";
import { UUID } from "../../fakes/instance.js";

const ADMIN: Caller = { subject: "a", project: "", roles: ["admin"] };
const PROJECT_ADMIN: Caller = { ...ADMIN, project: "p1" };
const MEMBER: Caller = { subject: "m", project: "p1", roles: ["member"] };

type Query = Record<string, string | string[]>;

function read(query: Query, { version = 1, caller = ADMIN } = {}): ServerQuery {
  return serverQueryOf({ query } as unknown as FastifyRequest, version, caller);
}

function expectRefused(query: Query, field: RegExp, version = 1): void {
  expect(() => read(query, { version }), JSON.stringify(query))
    .to.throw(field)
    .with.property("reason", "INVALID_ARGUMENT");
}

describe("serverQueryOf", () => {
  it("is everything, a thousand at a time, where nothing is asked", () => {
    const filters = { namePart: undefined, after: undefined, projectId: undefined, host: undefined };
    expect(read({})).to.deep.equal({ limit: 1_000, filters });
  });

  it("takes limit and marker", () => {
    expect(read({ limit: "5", marker: UUID.toUpperCase() })).to.deep.include({ limit: 5 });
    expect(read({ marker: UUID.toUpperCase() }).filters.after).to.equal(UUID);
    expect(read({ limit: "0" }).limit).to.equal(0);
    expect(read({ limit: "5000" }).limit).to.equal(1_000);
  });

  it("lets the last of several count", () => {
    expect(read({ limit: ["5", "6"] }).limit).to.equal(6);
  });

  it("refuses a limit, a marker or a flag that is none, by its name", () => {
    for (const limit of ["-1", "x", "1.5", "", "9".repeat(400)]) expectRefused({ limit }, /^limit must/);
    for (const marker of ["x", "", `${UUID}0`]) expectRefused({ marker }, /^marker must/);
    expectRefused({ all_tenants: "perhaps" }, /^all_tenants must/);
    expectRefused({ name: "a\0" }, /^name must/);
    expectRefused({ host: "h".repeat(300) }, /^host must/);
  });

  it("refuses what would narrow the list and cannot here", () => {
    for (const name of ["status", "ip", "tags", "changes-since"]) expectRefused({ [name]: "x" }, new RegExp(name));
    expectRefused({ deleted: "True" }, /^deleted/);
    expect(() => read({ deleted: "False" })).not.to.throw();
  });

  it("ignores what nobody knows, and refuses it from 2.75 on, without repeating it", () => {
    expect(() => read({ "x<y>": "1" }, { version: 74 })).not.to.throw();
    expectRefused({ "x<y>": "1" }, /^(?!.*x<y>)/, 75);
    expect(() => read({ sort_key: "uuid", all_projects: "1" }, { version: 75 })).not.to.throw();
  });

  it("shows an administrator of a project that project, others when asked", () => {
    const caller = PROJECT_ADMIN;
    expect(read({}, { caller }).filters.projectId).to.equal("p1");
    expect(read({ all_tenants: "1" }, { caller }).filters.projectId).to.equal(undefined);
    expect(read({ all_projects: "True" }, { caller }).filters.projectId).to.equal(undefined);
    expect(read({ project_id: "p2" }, { caller }).filters.projectId).to.equal("p2");
    expect(read({ tenant_id: "p2", host: "h1" }, { caller }).filters).to.include({ projectId: "p2", host: "h1" });
  });

  it("takes neither project nor host from anybody else", () => {
    const { filters } = read({ project_id: "p2", host: "h1", all_tenants: "1" }, { caller: MEMBER });
    expect(filters).to.deep.equal({ namePart: undefined, after: undefined });
  });
});

describe("namePartOf", () => {
  const parts: [string, text: string, atStart: boolean, atEnd: boolean][] = [
    ["web", "web", false, false],
    ["^web", "web", true, false],
    ["web$", "web", false, true],
    ["^web$", "web", true, true],
    ["^", "", true, false],
    ["$", "", false, true],
    ["^web\\-1\\.example$", "web-1.example", true, true],
    ["5\\$", "5$", false, false],
    ["back\\\\$", "back\\", false, true],
    ["a^b$c", "a^b$c", false, false],
    ["(a+)+", "(a+)+", false, false],
  ];
  for (const [name, text, atStart, atEnd] of parts) {
    it(`takes ${name} for ${JSON.stringify({ text, atStart, atEnd })}`, () => {
      expect(namePartOf(name)).to.deep.equal({ text, atStart, atEnd });
    });
  }
});
