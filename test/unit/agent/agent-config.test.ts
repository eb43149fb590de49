// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { hostname } from "node:os";
import { agentSchema, loadAgentConfig } from "../../../agent/agent-config.js";
import { ConfigError, listSettings } from "../../../src/config/load-config.js";
import { TestAuthority } from "../../harness/certificates.js";

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    loadAgentConfig({ env });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

/** Where a host that enrols keeps what it gets. */
const ENROLLMENT = {
  enrollment: [],
  identity_folder: "/var/lib/spicegate-agent",
  join_token_file: "/var/lib/spicegate-agent/join-token",
};

describe("The agent's configuration", () => {
  it("needs no setting at all", () => {
    expect(loadAgentConfig({ env: {} })).to.deep.equal({
      agent: { host: hostname(), controllers: ["127.0.0.1:50052"], insecure: false, ...ENROLLMENT },
      libvirt: { uri: "qemu:///system" },
      spice: { enabled: true, server_proxyclient_address: "127.0.0.1" },
      telemetry: { listen: "127.0.0.1:9465", insecure: false },
      log: { level: "info" },
    });
  });

  it("takes a host name and a list of controllers from the environment", () => {
    const env = { SPICEGATE_AGENT__HOST: "compute-1", SPICEGATE_AGENT__CONTROLLERS: '["127.0.0.1:1", "[::1]:2"]' };
    expect(loadAgentConfig({ env }).agent).to.deep.equal({
      host: "compute-1",
      controllers: ["127.0.0.1:1", "[::1]:2"],
      insecure: false,
      ...ENROLLMENT,
    });
  });

  it("refuses a host name that is empty, too long or has control characters", () => {
    expect(problemsOf({ SPICEGATE_AGENT__HOST: "" })).to.deep.equal(["agent.host: host must not be empty"]);
    expect(problemsOf({ SPICEGATE_AGENT__HOST: "h".repeat(254) })[0]).to.match(/at most 253/);
    expect(problemsOf({ SPICEGATE_AGENT__HOST: "a\nb" })[0]).to.match(/control characters/);
  });

  it("refuses an empty list of controllers, a controller twice, and one beyond loopback", () => {
    const problems = (list: string): readonly string[] => problemsOf({ SPICEGATE_AGENT__CONTROLLERS: list });
    expect(problems("[]")[0]).to.match(/at least one/);
    expect(problems('["127.0.0.1:1", "127.0.0.1:1"]')[0]).to.match(/twice/);
    expect(problems('["192.0.2.1:50052"]')[0]).to.match(/loopback/);
    expect(problems('["127.0.0.1"]')[0]).to.match(/host:port/);
  });

  it("lets it go beyond loopback with a certificate, which needs the controllers' authority, or on its operator's word", () => {
    const beyond = { SPICEGATE_AGENT__CONTROLLERS: '["192.0.2.1:50052"]' };
    expect(problemsOf(beyond)[0]).to.include("set agent.cert, or, if everybody on the way may read along");
    expect(problemsOf({ ...beyond, SPICEGATE_AGENT__INSECURE: "true" })).to.deep.equal([]);
    expect(problemsOf({ ...beyond, SPICEGATE_AGENT__CERT: "a.pem" })[0]).to.include(
      "agent.ca_file: is needed with agent.cert",
    );
    const authority = new TestAuthority();
    try {
      const { certFile, keyFile } = authority.issue();
      const files = { SPICEGATE_AGENT__CERT: certFile, SPICEGATE_AGENT__KEY: keyFile };
      const good = { ...beyond, ...files, SPICEGATE_AGENT__CA_FILE: authority.certFile };
      expect(problemsOf(good)).to.deep.equal([]);
      const bad = { ...good, SPICEGATE_AGENT__KEY: "/missing", SPICEGATE_TELEMETRY__CERT: "/gone" };
      expect(problemsOf(bad).map((problem) => problem.split(":")[0])).to.deep.equal(["agent.cert", "telemetry.cert"]);
    } finally {
      authority.remove();
    }
  });

  it("lets a host that enrols go anywhere with the certificate that it will have, and with no other", () => {
    const env = {
      SPICEGATE_AGENT__CONTROLLERS: '["192.0.2.1:50052"]',
      SPICEGATE_AGENT__ENROLLMENT: '["192.0.2.1:50051"]',
      SPICEGATE_AGENT__IDENTITY_FOLDER: "/identity",
    };
    const { agent } = loadAgentConfig({ env });
    expect([agent.cert, agent.key, agent.ca_file]).to.deep.equal(["/identity/host.pem", undefined, "/identity/ca.pem"]);
    for (const name of ["CERT", "CA_FILE"]) {
      expect(problemsOf({ ...env, [`SPICEGATE_AGENT__${name}`]: "/x" })[0]).to.match(
        /^agent.enrollment: gives the agent/,
      );
    }
    expect(problemsOf({ ...env, SPICEGATE_AGENT__INSECURE: "true" })[0]).to.match(/^agent.insecure: contradicts/);
    expect(problemsOf({ ...env, SPICEGATE_AGENT__ENROLLMENT: '["192.0.2.1"]' })[0]).to.match(/host:port/);
  });

  it("describes every setting, the same on every machine", () => {
    for (const { name, description, default: fallback } of listSettings(agentSchema)) {
      expect(description, name).to.not.equal("");
      expect(fallback ?? "", name).to.not.contain(hostname());
    }
  });
});
