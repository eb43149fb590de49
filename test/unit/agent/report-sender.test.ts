// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import { createAgentMetrics } from "../../../agent/agent-metrics.js";
import type { DomainDescription, HypervisorStatus } from "../../../agent/hypervisor.js";
import { eventFromChange } from "../../../agent/messages.js";
import { ReportSender } from "../../../agent/report-sender.js";
import { ConnectRequest } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { MAX_QUEUED_BYTES, PAGE_TAKEN_MS } from "../../../src/lib/limits.js";
import { StreamWriter } from "../../../src/lib/stream-writer.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FAKE_INFO } from "../../fakes/fake-hypervisor.js";

describe("ReportSender", () => {
  let clock: FakeClock;
  let written: ConnectRequest["message"][];
  let takers: (() => void)[];
  let cuts: number;
  let sender: ReportSender;

  beforeEach(() => {
    clock = new FakeClock();
    written = [];
    takers = [];
    cuts = 0;
    const connection = {
      write(message: Buffer, taken: () => void): void {
        written.push(ConnectRequest.decode(message).message);
        takers.push(taken);
      },
    };
    const writer = new StreamWriter(connection, () => (cuts += 1));
    sender = new ReportSender({ writer, clock, metrics: createAgentMetrics(new Registry()) });
  });

  /** The connection takes everything that is written, and what follows from that. */
  function takeAll(): void {
    for (let taken = takers.shift(); taken; taken = takers.shift()) taken();
  }

  function domains(count: number): DomainDescription[] {
    return Array.from({ length: count }, (_, index) => aDomain(index));
  }

  function event(sequence: bigint, name = "n"): void {
    const change = { kind: "started", uuid: uuidOf(1), name } as const;
    sender.event(eventFromChange(sequence, change, undefined));
  }

  /** "page 3 (200)", "last page 3 (50)", "event 4", "up", "down". */
  function story(): string[] {
    return written.map((message) => {
      switch (message?.$case) {
        case "inventorySnapshot": {
          const { lastPage, sequence, domains: page } = message.inventorySnapshot;
          return `${lastPage ? "last page" : "page"} ${sequence} (${page.length})`;
        }
        case "domainEvent":
          return `event ${message.domainEvent.sequence}`;
        case "hypervisorStatus":
          return message.hypervisorStatus.available ? "up" : "down";
        default:
          return "?";
      }
    });
  }

  const up: HypervisorStatus = { available: true, info: FAKE_INFO, detail: "" };
  const down: HypervisorStatus = { available: false, info: FAKE_INFO, detail: "away" };

  it("sends a snapshot in pages of 200 with the same number, and marks the last one", () => {
    sender.snapshot({ sequence: 7n, domains: domains(450) });
    takeAll();
    expect(story()).to.deep.equal(["page 7 (200)", "page 7 (200)", "last page 7 (50)"]);
  });

  it("has no empty page after a full one, and one empty page for an empty host", () => {
    sender.snapshot({ sequence: 1n, domains: domains(400) });
    takeAll();
    sender.snapshot({ sequence: 2n, domains: [] });
    takeAll();
    expect(story()).to.deep.equal(["page 1 (200)", "last page 1 (200)", "last page 2 (0)"]);
  });

  it("writes a page only when the connection has taken the one before", () => {
    sender.snapshot({ sequence: 1n, domains: domains(450) });
    expect(story()).to.have.length(1);
    takers.shift()?.();
    expect(story()).to.have.length(2);
  });

  it("holds events back until the last page is out, in their order", () => {
    sender.snapshot({ sequence: 1n, domains: domains(250) });
    event(2n);
    event(3n);
    takeAll();
    event(4n);
    expect(story()).to.deep.equal(["page 1 (200)", "last page 1 (50)", "event 2", "event 3", "event 4"]);
  });

  it("replaces a snapshot that is going out, and the events it makes useless, by a newer one", () => {
    sender.snapshot({ sequence: 1n, domains: domains(450) });
    event(2n);
    sender.snapshot({ sequence: 3n, domains: domains(250) });
    expect(takers, "pages on their way").to.have.length(1);
    takeAll();
    expect(story()).to.deep.equal(["page 1 (200)", "page 3 (200)", "last page 3 (50)"]);
  });

  it("stops a snapshot when the hypervisor goes, and begins anew when it is back", () => {
    sender.snapshot({ sequence: 1n, domains: domains(450) });
    event(2n);
    sender.status(down);
    takeAll();
    sender.status(up);
    sender.snapshot({ sequence: 3n, domains: domains(1) });
    takeAll();
    expect(story()).to.deep.equal(["page 1 (200)", "down", "up", "last page 3 (1)"]);
  });

  it("cuts a controller that does not take a page in time", () => {
    sender.snapshot({ sequence: 1n, domains: domains(450) });
    clock.advance(PAGE_TAKEN_MS - 1);
    expect(cuts).to.equal(0);
    clock.advance(1);
    expect(cuts).to.equal(1);
    takeAll();
    expect(story()).to.have.length(1);
  });

  it("gives each page its own time", () => {
    sender.snapshot({ sequence: 1n, domains: domains(450) });
    for (let page = 0; page < 3; page += 1) {
      clock.advance(PAGE_TAKEN_MS - 1);
      takers.shift()?.();
    }
    clock.advance(PAGE_TAKEN_MS);
    expect(cuts).to.equal(0);
  });

  it("cuts a controller for which too many events wait behind a snapshot", () => {
    sender.snapshot({ sequence: 1n, domains: domains(450) });
    const name = "n".repeat(255);
    const enough = Math.ceil(MAX_QUEUED_BYTES / 255);
    for (let count = 0; count < enough && cuts === 0; count += 1) event(BigInt(count + 2), name);
    expect(cuts).to.equal(1);
    expect(story()).to.have.length(1);
  });
});
