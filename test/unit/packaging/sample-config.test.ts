// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentSchema, loadAgentConfig } from "../../../agent/agent-config.js";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";
import { controllerSchema, loadControllerConfig } from "../../../src/config/controller-config.js";
import { listSettings } from "../../../src/config/load-config.js";
import { DEFAULT_POLICY, parsePolicy } from "../../../src/config/policy-table.js";

describe("packaging/policy.sample.yaml", () => {
  it("says what holds without policy.file", () => {
    const text = readFileSync(join(PROJECT_FOLDER, "packaging", "policy.sample.yaml"), "utf8");
    expect(parsePolicy(text)).to.deep.equal(DEFAULT_POLICY);
  });
});

const SAMPLES = [
  { name: "controller.sample.yaml", schema: controllerSchema, load: loadControllerConfig },
  { name: "agent.sample.yaml", schema: agentSchema, load: loadAgentConfig },
];

for (const { name, schema, load } of SAMPLES) {
  describe(`packaging/${name}`, () => {
    const file = join(PROJECT_FOLDER, "packaging", name);
    const text = readFileSync(file, "utf8");
    const defaults = load({ env: {} });
    let folder: string;
    before(() => {
      folder = mkdtempSync(join(tmpdir(), "spicegate-sample-"));
    });
    after(() => rmSync(folder, { recursive: true }));

    /** What the program makes of a variant of the file. */
    function loaded(variant: string): unknown {
      const path = join(folder, name);
      writeFileSync(path, variant);
      return load({ file: path, env: {} });
    }

    it("changes nothing as it is", () => {
      expect(load({ file, env: {} })).to.deep.equal(defaults);
    });

    it("says the defaults with every line uncommented", () => {
      const uncommented = text.replaceAll(/^# /gm, "");
      expect(uncommented).to.match(/^telemetry:$/m);
      expect(loaded(uncommented)).to.deep.equal(defaults);
    });

    it("takes a single setting that was uncommented and changed", () => {
      const quiet = text.replace(/^# (log:)$/m, "$1").replace(/^# ( {2}level:) "info"$/m, '$1 "warn"');
      expect(loaded(quiet)).to.have.nested.property("log.level", "warn");
    });

    it("has every setting, with what it means", () => {
      const words = text.replaceAll(/\s*\n[ #]*/g, " ");
      for (const setting of listSettings(schema)) {
        const key = setting.name.slice(setting.name.lastIndexOf(".") + 1);
        expect(words, setting.name).to.include(`${setting.description} ${key}:`);
      }
    });
  });
}
