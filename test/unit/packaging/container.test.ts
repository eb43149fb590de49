// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";

const read = (file: string): string => readFileSync(join(PROJECT_FOLDER, file), "utf8");

// No image is built here: this only keeps what the file names in step with the tree.
describe("packaging/container", () => {
  const dockerfile = read("packaging/container/Dockerfile");
  const manifest = JSON.parse(read("package.json")) as { bin: Record<string, string>; engines: { node: string } };

  it("starts the programs that the package has", () => {
    const started = [...dockerfile.matchAll(/^ENTRYPOINT \["\/opt\/spicegate\/(.+)"\]$/gm)].map(([, file]) => file);
    expect(started).to.have.members(Object.values(manifest.bin));
  });

  it("is on a Node that the package allows", () => {
    const [, major] = /^ARG NODE_VERSION=(\d+)$/m.exec(dockerfile) ?? [];
    const [, least] = /^>=(\d+)\./.exec(manifest.engines.node) ?? [];
    expect(Number(major)).to.be.at.least(Number(least));
  });

  it("ends every image as a user that is not root", () => {
    const images = dockerfile.split(/^FROM /m).slice(1);
    const last = (image: string): string | undefined => image.match(/^USER .+$/gm)?.at(-1);
    const [, runtime = "", controller = "", agent = ""] = images;
    expect([last(runtime), last(controller), last(agent)]).to.deep.equal([
      "USER 1000:1000",
      undefined,
      "USER 1000:1000",
    ]);
  });

  it("copies nothing that the build makes itself, or that is no part of it", () => {
    const ignored = read(".dockerignore").split("\n");
    expect(ignored).to.include.members([".git", "node_modules", "dist", ".demo"]);
  });
});
