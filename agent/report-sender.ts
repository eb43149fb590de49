// SPDX-License-Identifier: Apache-2.0
import type { DomainEvent } from "../proto/gen/spicegate/agent/v1/agent.js";
import type { Clock } from "../src/lib/clock.js";
import { MAX_QUEUED_BYTES, PAGE_TAKEN_MS, SNAPSHOT_PAGE_DOMAINS } from "../src/lib/limits.js";
import type { AgentMetrics } from "./agent-metrics.js";
import type { HypervisorStatus } from "./hypervisor.js";
import type { ReportSink, Snapshot } from "./inventory.js";
import { domainFromDescription, encodeMessage, statusFromHypervisor } from "./messages.js";
import type { StreamWriter } from "../src/lib/stream-writer.js";

/** What a report sender needs. */
export interface ReportSenderOptions {
  readonly writer: StreamWriter;
  readonly metrics: Pick<AgentMetrics, "reports">;
  readonly clock: Clock;
}

/**
 * Sends reports on one stream. A snapshot goes out page by page, each when the connection has taken the one before, so
 * that a big host does not fill the queue; events wait behind its last page, since a report older than an applied one
 * is ignored. A newer snapshot replaces one that is still going out, together with the events that wait.
 */
export class ReportSender implements ReportSink {
  readonly #options: ReportSenderOptions;
  #pages: Iterator<Buffer> | undefined;
  #pageIsOut = false;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(options: ReportSenderOptions) {
    this.#options = options;
  }

  status(status: HypervisorStatus): void {
    // No snapshot while the hypervisor is away; a new one follows its return.
    if (!status.available) this.#replacePages(undefined);
    this.#options.metrics.reports.inc({ kind: "status" });
    this.#options.writer.write(
      encodeMessage({ $case: "hypervisorStatus", hypervisorStatus: statusFromHypervisor(status) }),
    );
  }

  snapshot(snapshot: Snapshot): void {
    this.#replacePages(encodePages(snapshot));
    if (!this.#pageIsOut) this.#sendPage();
  }

  event(event: DomainEvent): void {
    const message = encodeMessage({ $case: "domainEvent", domainEvent: event });
    if (!this.#pages) return this.#sendEvent(message);
    this.#heldBytes += message.length;
    if (this.#heldBytes > MAX_QUEUED_BYTES) return this.#options.writer.overflow();
    this.#held.push(message);
  }

  #replacePages(pages: Iterator<Buffer> | undefined): void {
    this.#pages = pages;
    this.#held = [];
    this.#heldBytes = 0;
  }

  #sendPage(): void {
    const page = this.#pages?.next();
    if (!page) return;
    if (page.done === true) return this.#release();
    const { writer, clock, metrics } = this.#options;
    const cancel = clock.after(PAGE_TAKEN_MS, () => writer.overflow());
    this.#pageIsOut = true;
    metrics.reports.inc({ kind: "page" });
    writer.write(page.value, () => {
      cancel();
      this.#pageIsOut = false;
      this.#sendPage();
    });
  }

  #release(): void {
    const held = this.#held;
    this.#replacePages(undefined);
    for (const message of held) this.#sendEvent(message);
  }

  #sendEvent(message: Buffer): void {
    this.#options.metrics.reports.inc({ kind: "event" });
    this.#options.writer.write(message);
  }
}

/** The pages of a snapshot, encoded one at a time when asked for; an empty host has one empty page. */
function* encodePages({ sequence, domains }: Snapshot): Generator<Buffer, void> {
  let from = 0;
  do {
    const page = domains.slice(from, from + SNAPSHOT_PAGE_DOMAINS);
    from += SNAPSHOT_PAGE_DOMAINS;
    const lastPage = from >= domains.length;
    const inventorySnapshot = { sequence, domains: page.map(domainFromDescription), lastPage };
    yield encodeMessage({ $case: "inventorySnapshot", inventorySnapshot });
  } while (from < domains.length);
}
