// SPDX-License-Identifier: Apache-2.0

/** The error that a promise fails with. Throws where it does not fail. */
export async function rejectionOf(promise: Promise<unknown>): Promise<Error> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw new TypeError(`rejected with ${String(error)}, which is no Error`);
  }
  throw new Error(`expected a rejection, got ${JSON.stringify(value)}`);
}
