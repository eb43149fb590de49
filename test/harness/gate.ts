// SPDX-License-Identifier: Apache-2.0

/** Holds up whoever waits until a test opens it. */
export class Gate {
  readonly passed: Promise<void>;
  #open: () => void = () => undefined;

  constructor() {
    this.passed = new Promise((resolve) => (this.#open = resolve));
  }

  /** Lets everybody through, now and later. */
  open(): void {
    this.#open();
  }
}
