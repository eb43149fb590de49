// SPDX-License-Identifier: Apache-2.0

/** Tells a person what goes on. */
export type Progress = (text: string) => void;

/** Prints each line with the seconds since it was made, on standard error: standard output is for results. */
export function startProgress(): Progress {
  const start = performance.now();
  return (text) => {
    const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(5);
    process.stderr.write(`${seconds} s  ${text}\n`);
  };
}
