// SPDX-License-Identifier: Apache-2.0

/** The error that a promise fails with. Throws where it does not fail. */
export async function rejectionOf(promise: Promise<unknown>): Promise<Error> {
  const outcome = await promise.then(
    (value: unknown) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if (!("error" in outcome)) throw new Error(`expected a rejection, got ${JSON.stringify(outcome.value)}`);
  if (outcome.error instanceof Error) return outcome.error;
  throw new TypeError(`rejected with ${String(outcome.error)}, which is no Error`);
}
