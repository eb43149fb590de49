// SPDX-License-Identifier: Apache-2.0
// Whether a figure that is looked at again and again grows. It knows nothing of where figures come from.

/** One look. */
export interface Sample {
  /** Seconds since the beginning. */
  readonly at: number;
  readonly value: number;
}

/** A straight line through samples, by least squares. */
export interface Line {
  /** Per hour. */
  readonly slope: number;
  /** Half of the 95 % confidence interval of the slope, per hour. */
  readonly uncertainty: number;
  /** On the line, at the first and at the last sample. */
  readonly from: number;
  readonly to: number;
}

/** What growth is too much. */
export interface Bound {
  /** Per hour. */
  readonly perHour: number;
  /** A rise of less than this over the whole time is noise, however steep. */
  readonly noise: number;
}

/** What came of one series. */
export interface Trend {
  readonly line: Line;
  readonly leaks: boolean;
}

const HOUR_S = 3_600;
// Of a normal distribution; the windows are enough for it to be near.
const CONFIDENCE = 1.96;

/** The line through the samples; flat where they are fewer than two or all of one moment. */
export function leastSquares(samples: readonly Sample[]): Line {
  const count = samples.length;
  const meanAt = mean(samples.map(({ at }) => at));
  const meanValue = mean(samples.map(({ value }) => value));
  const spread = sum(samples.map(({ at }) => (at - meanAt) ** 2));
  if (spread === 0) return { slope: 0, uncertainty: 0, from: meanValue, to: meanValue };
  const slope = sum(samples.map(({ at, value }) => (at - meanAt) * (value - meanValue))) / spread;
  const valueAt = (at: number): number => meanValue + slope * (at - meanAt);
  const errors = sum(samples.map(({ at, value }) => (value - valueAt(at)) ** 2));
  const deviation = count > 2 ? Math.sqrt(errors / (count - 2) / spread) : 0;
  return {
    slope: slope * HOUR_S,
    uncertainty: CONFIDENCE * deviation * HOUR_S,
    from: valueAt(samples[0]?.at ?? 0),
    to: valueAt(samples.at(-1)?.at ?? 0),
  };
}

/** The lowest sample of each of so many equal spans of time: what garbage collection does not get rid of. */
export function floors(samples: readonly Sample[], windows: number): readonly Sample[] {
  const [begin, end] = [samples[0]?.at ?? 0, samples.at(-1)?.at ?? 0];
  const length = (end - begin) / windows;
  if (length === 0) return samples;
  const lowest = new Map<number, Sample>();
  for (const sample of samples) {
    const window = Math.min(windows - 1, Math.floor((sample.at - begin) / length));
    const known = lowest.get(window);
    if (!known || sample.value < known.value) lowest.set(window, sample);
  }
  return [...lowest.values()];
}

/** The samples after the warm-up, in which caches fill and pools grow. */
export function afterWarmUp(samples: readonly Sample[], warmUpS: number): readonly Sample[] {
  return samples.filter(({ at }) => at >= warmUpS);
}

/**
 * Judges a series: it leaks where it surely grows faster than the bound, by more than noise. One that stands still, falls
 * or jumps up and down does not.
 */
export function judgeTrend(samples: readonly Sample[], { perHour, noise }: Bound): Trend {
  const line = leastSquares(samples);
  return { line, leaks: line.slope - line.uncertainty > perHour && line.to - line.from > noise };
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : sum(values) / values.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
