// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Registry } from "prom-client";
import { createAgentMetrics } from "../../../agent/agent-metrics.js";
import { ControllerCredentials } from "../../../agent/controller-credentials.js";
import { TLS_FILES_INTERVAL_MS } from "../../../src/lib/limits.js";
import { requireAddress } from "../../../src/lib/listen-address.js";
import { silentLog } from "../../../src/lib/log.js";
import { TlsFiles } from "../../../src/lib/tls-files.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import type { TestCertificate } from "../../harness/certificates.js";
import { TestAuthority } from "../../harness/certificates.js";
import { until } from "../../harness/within.js";

const BEYOND = requireAddress("192.0.2.1:50052");
const LOCAL = requireAddress("127.0.0.1:50052");

describe("ControllerCredentials", () => {
  const authority = new TestAuthority();
  const names = { cert: join(authority.folder, "a.pem"), key: join(authority.folder, "a.key"), ca: authority.certFile };
  const clock = new FakeClock();
  const metrics = createAgentMetrics(new Registry());
  const files = new TlsFiles({ name: "agent", files: names, metrics, log: silentLog, clock });
  after(async () => {
    await files.stop();
    authority.remove();
  });

  function write({ cert, key }: TestCertificate): void {
    writeFileSync(names.cert, cert);
    writeFileSync(names.key, key);
  }

  it("in the clear reach this machine only, unless the operator has said otherwise", () => {
    const clear = new ControllerCredentials();
    expect([clear.allows(LOCAL), clear.allows(BEYOND)]).to.deep.equal([true, false]);
    expect(clear.channelTo(LOCAL)._isSecure()).to.equal(false);
    const insecure = new ControllerCredentials({ insecure: true });
    expect(insecure.allows(BEYOND)).to.equal(true);
    expect(insecure.secureContext).to.equal(undefined);
  });

  it("with a certificate reach everything, by the files as they are now", async () => {
    write(authority.issue());
    files.start();
    const secure = new ControllerCredentials({ files });
    expect(secure.allows(BEYOND)).to.equal(true);
    expect(secure.channelTo(LOCAL)._isSecure()).to.equal(true);
    const { identity, secureContext } = secure;
    expect(secure.secureContext).to.equal(secureContext);
    write(authority.issue());
    for (let look = 0; look < 2; look += 1) {
      await until("the look to end", () => clock.waiting === 1);
      clock.advance(TLS_FILES_INTERVAL_MS);
    }
    await until("the new certificate", () => secure.identity !== identity);
    expect(secure.secureContext).to.not.equal(secureContext);
  });
});
