// SPDX-License-Identifier: Apache-2.0
// What is shipped beside our own code.
import { expect } from "chai";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";
import { runCommand } from "../../harness/run-command.js";

interface LockedPackage {
  readonly dev?: boolean;
  readonly license?: string;
  readonly hasInstallScript?: boolean;
}

const ALLOWED = ["MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Apache-2.0"];
/** Unmodified, and handed to browsers as files of its own, beside our page. */
const ALSO = new Map([["node_modules/@spice-project/spice-html5", "LGPL-3.0-or-later"]]);
/** Whose scripts would run at the installation; none needs them, and docs/operations/install.md has them ignored. */
const WITH_SCRIPTS = ["node_modules/bufferutil", "node_modules/koffi", "node_modules/protobufjs"];

const lock = JSON.parse(readFileSync(join(PROJECT_FOLDER, "package-lock.json"), "utf8")) as {
  readonly packages: Readonly<Record<string, LockedPackage>>;
};
const shipped = Object.entries(lock.packages).filter(([path, { dev }]) => path !== "" && dev !== true);

/** "MIT", or several that all hold: "(Apache-2.0 AND BSD-3-Clause)". */
function isAllowed(license: string): boolean {
  return license
    .replace(/^\((.*)\)$/, "$1")
    .split(" AND ")
    .every((name) => ALLOWED.includes(name));
}

describe("the packages that are shipped", () => {
  it("have licences that ask for no more than to be named", () => {
    expect(shipped).to.have.length.above(50);
    const others = shipped.filter(([path, { license = "" }]) => !isAllowed(license) && ALSO.get(path) !== license);
    expect(others.map(([path, { license }]) => `${path}: ${license}`)).to.deep.equal([]);
  });

  it("run no script when they are installed, but for those known here", () => {
    const scripted = shipped.filter(([, { hasInstallScript }]) => hasInstallScript === true);
    expect(scripted.map(([path]) => path).filter((path) => !WITH_SCRIPTS.includes(path))).to.deep.equal([]);
  });
});

describe("packaging/audit-packages.sh", function () {
  this.timeout(30_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "spicegate-audit-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Runs it with an npm whose audit answers this. */
  const audit = (answer: string, code: number, more: Readonly<Record<string, string>> = {}) => {
    const npm = join(folder, "npm");
    writeFileSync(npm, `#!/bin/sh\n[ "$1" = audit ] || exit 0\necho '${answer}'\nexit ${code}\n`);
    chmodSync(npm, 0o755);
    const env = { ...process.env, ...more, PATH: `${folder}:${process.env["PATH"] ?? ""}` };
    return runCommand("bash", [join(PROJECT_FOLDER, "packaging/audit-packages.sh")], { env });
  };

  it("passes where nothing is known, and fails where something is", async () => {
    expect(await audit('{"metadata":{}}', 0)).to.include({ code: 0 });
    expect(await audit('{"metadata":{},"vulnerabilities":{}}', 1)).to.include({ code: 1 });
  });

  it("says that nothing was audited where the registry does not answer, and fails where that is required", async () => {
    const unanswered = '{"statusCode":405,"error":{"summary":""}}';
    const { code, stderr } = await audit(unanswered, 1);
    expect([code, stderr]).to.deep.equal([0, stderr.match(/^audit: NOT AUDITED.*\n$/)?.[0]]);
    expect(await audit(unanswered, 1, { AUDIT_REQUIRED: "1" })).to.include({ code: 1 });
    expect(await audit("", 1)).to.include({ code: 0 });
  });
});
