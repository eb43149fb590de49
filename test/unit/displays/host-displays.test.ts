// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { PassThrough } from "node:stream";
import { ListenKind } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import type { Display, Displays, DisplayTarget, OpenDisplayOptions } from "../../../src/displays/display.js";
import { HostDisplays } from "../../../src/displays/host-displays.js";
import { MAX_OPENING_PER_INSTANCE } from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { rejectionOf } from "../../harness/rejection.js";

const OPTIONS: OpenDisplayOptions = { ms: 1_000, requestId: "r", signal: new AbortController().signal };
const ENDPOINT = { host: "h", listen: ListenKind.LISTEN_KIND_NONE, port: 0, tlsPort: 0, internalAccessPath: "" };

/** A way that opens what it is told to, when it is told to. */
class FakePath implements Displays {
  readonly opening: (() => void)[] = [];
  readonly asked: unknown[] = [];

  open(target: DisplayTarget, options: OpenDisplayOptions): Promise<Display> {
    this.asked.push({ target, options });
    return new Promise((resolve) => {
      this.opening.push(() => resolve({ stream: new PassThrough(), needsAgent: false }));
    });
  }

  requireReachable(host: string): void {
    throw new ServiceError("NO_NETWORK_DISPLAY", host);
  }
}

describe("HostDisplays", () => {
  let agent: FakePath;
  let direct: FakePath;
  let displays: HostDisplays;

  beforeEach(() => {
    [agent, direct] = [new FakePath(), new FakePath()];
    agent.requireReachable = () => undefined;
    displays = new HostDisplays({ paths: { agent, direct }, pathOf: (host) => (host === "d" ? "direct" : "agent") });
  });

  it("opens each host's displays by the host's own way", () => {
    const targets = ["a", "d"].map((host) => ({ instanceUuid: "u", host }));
    for (const target of targets) void displays.open(target, OPTIONS);
    expect(agent.asked).to.deep.equal([{ target: targets[0], options: OPTIONS }]);
    expect(direct.asked).to.deep.equal([{ target: targets[1], options: OPTIONS }]);
  });

  it("asks the host's own way whether a display can be reached", () => {
    displays.requireReachable("a", ENDPOINT);
    expect(() => displays.requireReachable("d", ENDPOINT)).to.throw(ServiceError, "d");
  });

  it("opens no more displays of one instance at once than it may, and the next when one is done", async () => {
    const open = (instanceUuid = "u"): Promise<Display> => displays.open({ instanceUuid, host: "a" }, OPTIONS);
    const opening = Array.from({ length: MAX_OPENING_PER_INSTANCE }, () => open());
    expect(await rejectionOf(open())).to.have.property("reason", "LIMITED");
    expect(agent.asked).to.have.length(MAX_OPENING_PER_INSTANCE);
    void open("another");
    agent.opening[0]!();
    await opening[0];
    void open();
    expect(agent.asked).to.have.length(MAX_OPENING_PER_INSTANCE + 2);
    expect(await rejectionOf(open())).to.have.property("reason", "LIMITED");
  });
});
