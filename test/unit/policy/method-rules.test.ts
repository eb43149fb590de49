// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { GrpcServer } from "../../../src/rpc/grpc-server.js";
import { PublishedServices } from "../../../src/rpc/published-services.js";
import { silentLog } from "../../../src/lib/log.js";
import { VERBS } from "../../../src/config/policy-table.js";
import { METHOD_RULES, ruleOf } from "../../../src/policy/method-rules.js";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";

const GENERATED = join(PROJECT_FOLDER, "dist", "proto", "gen", "spicegate");

/** The full names of all methods of all services that there are protocols of. */
async function generatedMethods(): Promise<string[]> {
  const files = readdirSync(GENERATED, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".js"));
  const paths: string[] = [];
  for (const file of files) {
    const module = (await import(pathToFileURL(join(GENERATED, file)).href)) as Record<string, unknown>;
    for (const value of Object.values(module)) paths.push(...methodsOf(value));
  }
  return paths;
}

/** Of what ts-proto writes for a service: methods by name, each with its path. */
function methodsOf(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap((method: unknown) =>
    typeof method === "object" && method !== null && "path" in method && "requestStream" in method
      ? [String(method.path)]
      : [],
  );
}

function serverWith(addServices: ConstructorParameters<typeof GrpcServer>[0]["addServices"]): GrpcServer {
  return new GrpcServer({
    name: "test",
    listen: { host: "127.0.0.1", port: 0 },
    log: silentLog,
    requireRule: ruleOf,
    addServices,
  });
}

describe("The rules of methods", () => {
  it("are there for every method of every service, and for no other", async () => {
    const ours = [...METHOD_RULES.keys()].filter((path) => path.startsWith("/spicegate."));
    const there = await generatedMethods();
    expect(there).to.include("/spicegate.identity.v1.IdentityService/RevokeHost");
    expect(ours.sort()).to.deep.equal(there.sort());
  });

  it("use every verb", () => {
    const used = new Set<string>(METHOD_RULES.values());
    expect(Object.keys(VERBS).filter((verb) => !used.has(verb))).to.deep.equal([]);
  });

  it("let strangers ask how a program is and what it serves, and nothing else", () => {
    const open = [...METHOD_RULES].filter(([, rule]) => rule === "anyone").map(([path]) => path.split("/")[1]);
    expect(new Set(open)).to.deep.equal(
      new Set([
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
      ]),
    );
  });

  it("keep a method without one from being served", () => {
    const path = "/spicegate.console.v1.ConsoleService/OpenEverything";
    expect(() => ruleOf(path)).to.throw(path);
    const method = { path, requestStream: false, responseStream: false };
    const serialize = { requestSerialize: empty, responseSerialize: empty };
    const deserialize = { requestDeserialize: String, responseDeserialize: String };
    const service = { openEverything: { ...method, ...serialize, ...deserialize } };
    expect(() => serverWith((server) => server.addService(service, {}))).to.throw(path);
  });

  it("are there for what a program tells strangers of itself", () => {
    serverWith((server) => new PublishedServices(["spicegate.console.v1.ConsoleService"]).addToServer(server));
  });
});

function empty(): Buffer {
  return Buffer.alloc(0);
}
