// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { Socket } from "node:net";
import { join } from "node:path";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import { connect, createServer } from "node:tls";
import { PROJECT_FOLDER } from "../../../demo/spicegate-programs.js";
import type { PeerCertificate } from "../../../src/rpc/peer-certificate.js";
import { peerCertificateOf } from "../../../src/rpc/peer-certificate.js";
import { TestAuthority } from "../../harness/certificates.js";
import { within } from "../../harness/within.js";

describe("peerCertificateOf", () => {
  const authority = new TestAuthority();
  after(() => authority.remove());

  const ofCall = (pem: string): PeerCertificate | undefined =>
    peerCertificateOf({ getAuthContext: () => ({ sslPeerCertificate: { raw: new X509Certificate(pem).raw } }) });

  it("has the hosts, the serial number and the time of a call's certificate", () => {
    const { cert } = authority.issue({ names: "DNS:host-1,IP:127.0.0.1,DNS:*.example" });
    const { serialNumber, validTo, validFrom } = new X509Certificate(cert);
    expect(ofCall(cert)).to.deep.equal({
      hosts: ["host-1", "*.example"],
      serial: serialNumber.toLowerCase().replace(/^0+/, ""),
      notBefore: new Date(validFrom),
      notAfter: new Date(validTo),
    });
  });

  it("takes no name out of another one, and writes serial numbers without zeros in front", () => {
    const odd = ofCall(readFileSync(join(PROJECT_FOLDER, "test/fixtures/certificates/odd-names.pem"), "utf8"));
    expect(odd?.hosts).to.deep.equal(["host-1", "qx"]);
    expect(odd?.serial).to.equal("a1b");
  });

  it("knows nobody in the clear, nor where a call's peer has shown nothing", () => {
    expect(peerCertificateOf(new Socket())).to.equal(undefined);
    expect(peerCertificateOf({ getAuthContext: () => ({}) })).to.equal(undefined);
  });

  /** What a server that asks for certificates, and lets everybody in, knows of a client. */
  async function ofSocket(client: SecureContextOptions): Promise<PeerCertificate | undefined> {
    const { cert, key } = authority.issue();
    const options = { cert, key, ca: authority.cert, requestCert: true, rejectUnauthorized: false };
    const server = createServer(options).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const socket = connect({ port, host: "127.0.0.1", ca: authority.cert, ...client }).on("error", () => undefined);
    try {
      const [accepted] = (await within("the handshake", once(server, "secureConnection"))) as [TLSSocket];
      return peerCertificateOf(accepted);
    } finally {
      socket.destroy();
      server.close();
    }
  }

  it("knows a socket's peer by what an authority of the server vouches for, and by nothing else", async () => {
    const { cert, key } = authority.issue({ names: "DNS:host-1" });
    expect((await ofSocket({ cert, key }))?.hosts).to.deep.equal(["host-1"]);
    expect(await ofSocket({})).to.equal(undefined);
    const stranger = new TestAuthority();
    try {
      const { cert: other, key: otherKey } = stranger.issue({ names: "DNS:host-1" });
      expect(await ofSocket({ cert: other, key: otherKey })).to.equal(undefined);
    } finally {
      stranger.remove();
    }
  });
});
