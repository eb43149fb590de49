// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { requestedVersion, requireVersion, versionHeaders } from "../../../src/gateway/microversion.js";

const standard = (text: string): number => requestedVersion({ "openstack-api-version": text });
const legacy = (text: string): number => requestedVersion({ "x-openstack-nova-api-version": text });

describe("microversion", () => {
  it("is the lowest without a header", () => {
    expect(requestedVersion({})).to.equal(1);
  });

  it("is read in both spellings", () => {
    expect(standard("compute 2.8")).to.equal(8);
    expect(legacy("2.31")).to.equal(31);
  });

  it("is the highest for latest", () => {
    expect([standard("compute latest"), legacy("latest")]).to.deep.equal([99, 99]);
  });

  it("is found among those of other services, the last one counts", () => {
    expect(standard("identity 3.10, Compute  2.6 , volume 3.50")).to.equal(6);
    expect(standard("compute 2.6, compute 2.7")).to.equal(7);
    expect(legacy("2.6, 2.7")).to.equal(7);
  });

  it("is the standard header's where both say one, and the legacy one's where only other services are named", () => {
    const headers = { "openstack-api-version": "compute 2.8", "x-openstack-nova-api-version": "2.5" };
    expect(requestedVersion(headers)).to.equal(8);
    expect(requestedVersion({ ...headers, "openstack-api-version": "volume 3.50" })).to.equal(5);
    expect(requestedVersion({ ...headers, "openstack-api-version": "compute" })).to.equal(5);
  });

  it("is refused with 400 where it is none", () => {
    for (const text of ["2", "2.", "2.08", "two", "2.1.1", "-2.1", "LATEST"]) {
      expect(() => standard(`compute ${text}`), text)
        .to.throw()
        .with.property("status", 400);
      expect(() => legacy(text), text)
        .to.throw()
        .with.property("status", 400);
    }
  });

  it("is refused with 406 and the range where it is not spoken", () => {
    for (const text of ["2.0", "2.100", "1.1", "3.0", `2.${"9".repeat(400)}`]) {
      expect(() => standard(`compute ${text}`), text)
        .to.throw(/minimum is 2\.1 and the maximum is 2\.99/)
        .with.property("status", 406);
    }
  });

  it("outside a method's range means that there is no such method", () => {
    const range = { min: 6, max: 8 };
    for (const version of [6, 8]) expect(() => requireVersion(version, range)).not.to.throw();
    for (const version of [5, 9])
      expect(() => requireVersion(version, range))
        .to.throw()
        .with.property("status", 404);
  });

  it("is in an answer's headers in both spellings, which caches have to heed", () => {
    expect(versionHeaders(8)).to.deep.equal({
      "openstack-api-version": "compute 2.8",
      "x-openstack-nova-api-version": "2.8",
      vary: "OpenStack-API-Version, X-OpenStack-Nova-API-Version",
    });
  });
});
