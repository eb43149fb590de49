// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { fileURLToPath } from "node:url";
import { runFuzzTarget } from "../../fuzz/fuzz-run.js";

const planted = (name: string): string => fileURLToPath(new URL(`planted-${name}.js`, import.meta.url));

describe("runFuzzTarget", function () {
  this.timeout(30_000);

  it("finds an input that fails, and finds the same one again by the round's seed", async () => {
    const first = await runFuzzTarget({ file: planted("failure"), seconds: 10 });
    expect(first.failure?.what).to.match(/Counterexample: \[1000\]/);
    const { seed = 0 } = first.failure ?? {};
    const again = await runFuzzTarget({ file: planted("failure"), seconds: 10, seed });
    expect(again.failure).to.deep.equal(first.failure);
  });

  it("finds an input that never ends", async () => {
    const { failure } = await runFuzzTarget({ file: planted("hang"), seconds: 10, seed: 7, hangMs: 3_000 });
    expect(failure).to.include({ seed: 7 });
    expect(failure?.what).to.match(/hangs/);
  });

  it("finds an input that ends the process", async () => {
    const { failure } = await runFuzzTarget({ file: planted("exit"), seconds: 10, seed: 7 });
    expect(failure).to.deep.equal({ seed: 7, what: "the process ended with 3" });
  });
});
