// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect } from "chai";
import type { DomainDescription } from "../../../agent/hypervisor.js";
import { LibvirtHypervisor } from "../../../agent/libvirt/libvirt-hypervisor.js";
import { LIBVIRT_CALL_MS, LIBVIRT_PAGE_DOMAINS, MAX_DOMAIN_XML_BYTES } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { untilAvailable } from "../../harness/hypervisor-status.js";
import { rejectionOf } from "../../harness/rejection.js";

const UP_MS = 20_000;
const ASK = { ms: LIBVIRT_CALL_MS };
const uuidOf = (number: number): string => `00000000-0000-4000-8000-00000000000${number}`;

describe("LibvirtHypervisor with libvirt's test driver", function () {
  this.timeout(60_000);
  const uri = `test://${resolve("test/fixtures/libvirt/host.xml")}`;
  let hypervisor: LibvirtHypervisor;

  beforeEach(async () => {
    hypervisor = new LibvirtHypervisor({ uri, log: silentLog });
    await hypervisor.start();
    await untilAvailable(hypervisor, true, UP_MS);
  });

  afterEach(() => hypervisor.stop());

  const describeNumber = (number: number): Promise<DomainDescription> => hypervisor.describe(uuidOf(number), ASK);

  it("describes each display and owner of the host", async () => {
    const address = "127.0.0.1";
    expect(await describeNumber(1)).to.deep.equal({
      uuid: uuidOf(1),
      name: "tcp",
      state: "running",
      displays: [
        { kind: "vnc", listen: "address", address, port: 5950 },
        { kind: "spice", listen: "address", address, port: 5951, tlsPort: 5952 },
        { kind: "spice", listen: "address", address, port: 5953 },
      ],
      owner: { name: "web & mail", projectId: "2".repeat(32), userId: "1".repeat(32) },
    });
    expect(await describeNumber(2)).to.deep.include({
      displays: [{ kind: "spice", listen: "address", address, tlsPort: 5954 }],
      owner: { name: "ours", projectId: "p", userId: "u" },
    });
    expect((await describeNumber(3)).displays).to.deep.equal([{ kind: "spice", listen: "none" }]);
    expect((await describeNumber(4)).displays).to.deep.equal([
      { kind: "spice", listen: "socket", socket: "/run/spice.sock" },
    ]);
    expect((await describeNumber(5)).displays).to.deep.equal([{ kind: "spice", listen: "network", port: 5955 }]);
  });

  it("says that this driver hands out no display, for a caller that has other ways", async () => {
    expect(hypervisor.status().info?.graphicsFd).to.equal(false);
    expect(await hypervisor.openDisplay(uuidOf(1), 1, ASK)).to.equal(undefined);
    expect(reasonOf(await rejectionOf(hypervisor.openDisplay(uuidOf(0), 0, ASK)))).to.equal("INSTANCE_NOT_FOUND");
  });

  it("tells the states apart", async () => {
    const states = await Promise.all([6, 7, 8, 9].map(async (number) => (await describeNumber(number)).state));
    expect(states).to.deep.equal(["shut-off", "saved", "paused", "running"]);
  });

  it("lists all domains, defined and transient", async () => {
    const domains = await hypervisor.describeAll(ASK);
    const uuids = domains.map(({ uuid }) => uuid).sort();
    expect(uuids).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9].map(uuidOf));
    expect(domains.find(({ name }) => name === "tcp")).to.deep.equal(await describeNumber(1));
  });

  it("refuses a domain that does not exist", async () => {
    expect(reasonOf(await rejectionOf(describeNumber(0)))).to.equal("INSTANCE_NOT_FOUND");
  });

  it("counts displays as present, since this driver does not tell", () => {
    expect(hypervisor.status().info).to.include({ spice: true, vnc: true });
  });

  it("refuses questions after the stop, and a second loop while one runs", async () => {
    const second = new LibvirtHypervisor({ uri, log: silentLog });
    expect((await rejectionOf(second.start())).message).to.match(/only one/);
    await second.stop();
    await hypervisor.stop();
    expect(hypervisor.status().available).to.equal(false);
    expect(reasonOf(await rejectionOf(describeNumber(1)))).to.equal("HYPERVISOR_UNAVAILABLE");
  });

  it("starts and stops again and again", async () => {
    for (let round = 0; round < 20; round += 1) {
      await hypervisor.stop();
      hypervisor = new LibvirtHypervisor({ uri, log: silentLog });
      await hypervisor.start();
      if (round % 2 === 0) await untilAvailable(hypervisor, true, UP_MS);
    }
  });
});

describe("LibvirtHypervisor with hosts made for it", function () {
  this.timeout(60_000);
  let folder: string;
  let hypervisor: LibvirtHypervisor;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "spicegate-host-"));
  });

  afterEach(async () => {
    await hypervisor.stop();
    await rm(folder, { recursive: true });
  });

  /** Connects to a host of these domains: uuid and what else is in the XML. */
  async function connectTo(domains: readonly (readonly [string, string])[]): Promise<void> {
    const file = join(folder, "host.xml");
    const written = domains.map(
      ([uuid, inside]) =>
        `<domain type="test"><name>d-${uuid}</name><uuid>${uuid}</uuid>${inside}<memory>1024</memory><os><type>hvm</type></os></domain>`,
    );
    await writeFile(file, `<node>${written.join("\n")}</node>`);
    hypervisor = new LibvirtHypervisor({ uri: `test://${file}`, log: silentLog });
    await hypervisor.start();
    await untilAvailable(hypervisor, true, UP_MS);
  }

  it("lists more domains than fit into one page, each once", async () => {
    const count = 2 * LIBVIRT_PAGE_DOMAINS + 1;
    const uuids = Array.from({ length: count }, (_, at) => `00000000-0000-4000-8000-${String(at).padStart(12, "0")}`);
    await connectTo(uuids.map((uuid) => [uuid, ""]));
    const domains = await hypervisor.describeAll(ASK);
    expect(domains.map(({ uuid }) => uuid).sort()).to.deep.equal(uuids);
  });

  it("keeps a domain whose XML it refuses in the list, and says so when asked about it", async () => {
    const large = `<description>${"x".repeat(MAX_DOMAIN_XML_BYTES)}</description>`;
    await connectTo([
      [uuidOf(1), large],
      [uuidOf(2), ""],
    ]);
    const domains = await hypervisor.describeAll(ASK);
    expect(domains.find(({ uuid }) => uuid === uuidOf(1))).to.deep.equal({
      uuid: uuidOf(1),
      name: `d-${uuidOf(1)}`,
      state: "running",
      displays: [],
    });
    expect(domains).to.have.length(2);
    const error = await rejectionOf(hypervisor.describe(uuidOf(1), ASK));
    expect(reasonOf(error)).to.equal("INTERNAL");
    expect(error.cause).to.match(/larger than/);
  });
});
