// SPDX-License-Identifier: Apache-2.0
// Controller and agent as processes that know each other by certificates: a console through the tunnel, certificates that
// are replaced under it, and an agent that says it is another host.
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { once } from "node:events";
import { join } from "node:path";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { freePort } from "../../demo/ports.js";
import { waitUntil } from "../../demo/wait-until.js";
import type { AuditEvent } from "../../proto/gen/spicegate/audit/v1/audit.js";
import { AuditAction } from "../../proto/gen/spicegate/audit/v1/audit.js";
import { InventoryServiceClient } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import type { TestCertificate } from "../harness/certificates.js";
import { TestAuthority } from "../harness/certificates.js";
import { Deployment, entriesOf } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { responseOf } from "../harness/inventory-calls.js";
import { rejectionOf } from "../harness/rejection.js";
import { SPICE_CHANNEL } from "../harness/spice-wire.js";

const EXPIRY = 'spicegate_tls_certificate_expiry_timestamp_seconds{listener="agents"}';

describe("Agents over TLS, as processes", function () {
  this.timeout(60_000);
  const authority = new TestAuthority();
  const next = new TestAuthority("/CN=Next Authority");
  const [cert, key, ca] = ["agents.pem", "agents.key", "authorities.pem"].map((name) => join(authority.folder, name));
  const ofHost = authority.issue({ names: "DNS:host-1", use: "clientAuth" });
  let machine: DemoMachine;
  let libvirtUri: string;
  let deployment: Deployment;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    libvirtUri = libvirtd.uri;
    machine = await defineAndStart(libvirtd, { name: "agents-over-tls", displays: ["spice-none"] });
    write(authority.issue({ use: "serverAuth" }), authority);
    const controller = { agents: { cert, key, ca_file: ca } };
    deployment = await Deployment.start({ libvirtUri, controller, agent: agentSettings(ofHost) });
    await deployment.knows(machine.uuid);
  });

  after(async () => {
    await deployment.stop();
    authority.remove();
    next.remove();
  });

  function write(certificate: TestCertificate, ...authorities: readonly TestAuthority[]): void {
    writeFileSync(cert ?? "", certificate.cert);
    writeFileSync(key ?? "", certificate.key);
    writeFileSync(ca ?? "", authorities.map((each) => each.cert).join(""));
  }

  const trusted = (): string => {
    const file = join(authority.folder, "trusted.pem");
    writeFileSync(file, authority.cert + next.cert);
    return file;
  };
  const agentSettings = ({ certFile, keyFile }: TestCertificate): Record<string, Record<string, string>> => ({
    agent: { cert: certFile, key: keyFile, ca_file: trusted() },
  });

  it("open a console through the tunnel, which goes on while certificate and authorities are replaced", async () => {
    const viewer = await deployment.openConsole(machine.uuid);
    const { main, connectionId } = await viewer.joinMain();
    const before = await deployment.metric(EXPIRY);
    write(next.issue({ use: "serverAuth", days: 2 }), authority, next);
    await waitUntil(async () => (await deployment.metric(EXPIRY)) > before, {
      ms: 10_000,
      what: "the new certificate",
    });
    const inputs = await viewer.join(SPICE_CHANNEL.inputs, connectionId);
    expect(main.webSocket.readyState).to.equal(main.webSocket.OPEN);
    expect(deployment.agentLog().filter(({ msg }) => msg === "connected to the controller")).to.have.length(1);
    await inputs.close();
    await main.close();
  });

  it("are refused under another host's name, and the audit has both", async () => {
    const telemetry = `127.0.0.1:${await freePort()}`;
    const impostor = deployment.addAgent("host-2", libvirtUri, telemetry, agentSettings(ofHost));
    const starting = rejectionOf(impostor.start());
    const refusal = await auditEvent(({ reason }) => reason === "HOST_MISMATCH");
    expect(refusal).to.include({ host: "host-2", subject: "host-1", clientAddress: "127.0.0.1" });
    const said = (): boolean =>
      entriesOf(impostor.logFile).some(({ detail }) => String(detail).startsWith("refused (HOST_MISMATCH)"));
    await waitUntil(said, { ms: 10_000, what: "the agent to say why" });
    await impostor.stop();
    await starting;
    expect(await deployment.metric('spicegate_agent_streams_refused_total{reason="host_mismatch"}')).to.be.above(0);
  });

  async function auditEvent(fits: (event: AuditEvent) => boolean): Promise<AuditEvent | undefined> {
    const list = deployment.audit.listAuditEvents.bind(deployment.audit);
    const filters = { instanceUuid: "", sessionId: "", subject: "", since: undefined, until: undefined };
    const asked = { ...filters, action: AuditAction.AUDIT_ACTION_REFUSED, pageSize: 0, pageToken: "" };
    let found: AuditEvent | undefined;
    const look = async (): Promise<boolean> => {
      found = responseOf(await callUnary(list, asked)).events.find(fits);
      return found !== undefined;
    };
    await waitUntil(look, { ms: 10_000, what: "the audit event" });
    return found;
  }
});

describe("Callers over TLS", function () {
  this.timeout(60_000);
  const authority = new TestAuthority();
  const { certFile, keyFile } = authority.issue();
  let deployment: Deployment;

  before(async () => {
    const tls = { cert: certFile, key: keyFile };
    const [api, proxy] = [await freePort(), await freePort()];
    const controller = {
      api: { listen: `0.0.0.0:${api}`, ...tls },
      gateway: tls,
      proxy: { listen: `0.0.0.0:${proxy}`, insecure: true },
    };
    deployment = await Deployment.start({ controller });
  });

  after(async () => {
    await deployment.stop();
    authority.remove();
  });

  const listening = (name: string): string => {
    const line = deployment.controllerLog().find(({ msg }) => msg === `${name} listens`);
    return String(line?.["listen"]).replace("0.0.0.0", "localhost");
  };

  it("reach the API beyond loopback by its certificate, and not without TLS", async () => {
    const secure = new InventoryServiceClient(listening("api"), credentials.createSsl(Buffer.from(authority.cert)));
    const clear = new InventoryServiceClient(listening("api"), credentials.createInsecure());
    const everything = { pageSize: 0, pageToken: "" };
    try {
      expect(responseOf(await callUnary(secure.listHosts.bind(secure), everything)).hosts).to.deep.equal([]);
      const refused = await callUnary(clear.listHosts.bind(clear), everything, { ms: 2_000 });
      expect(refused.ok).to.equal(false);
    } finally {
      secure.close();
      clear.close();
    }
  });

  it("are warned of what listens in the clear beyond this machine, of loopback's trust, and of nothing else", () => {
    const warnings = deployment.controllerLog().filter(({ level }) => level === "warn");
    expect(warnings.map(({ msg }) => msg)).to.have.members([
      "proxy listens in the clear beyond this machine, as insecure says: give it a cert",
      "whoever connects from this machine needs no token, a web server here too: identity.trust_loopback",
    ]);
  });

  it("ask Nova's API over https for its versions", async () => {
    const asking = request(`https://${deployment.gateway}/v2.1`, { ca: authority.cert });
    asking.end();
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    response.resume();
    expect(response.statusCode).to.equal(200);
  });
});
