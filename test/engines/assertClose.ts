import assert from 'node:assert/strict';

/**
 * Largest difference relative to the expected values' largest magnitude.
 * @param floor magnitude to take at least: what values that should cancel to 0 are measured against
 */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>, floor = 0): number {
  assert.equal(actual.length, expected.length, 'length');
  let [difference, magnitude] = [0, floor];
  for (let i = 0; i < expected.length; i++) {
    if (!Number.isFinite(actual[i])) return Number.POSITIVE_INFINITY;
    difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
    magnitude = Math.max(magnitude, Math.abs(expected[i]));
  }
  return magnitude === 0 ? difference : difference / magnitude;
}

/** Fails unless {@link relativeError} is at most the tolerance. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
  floor = 0,
): void {
  const error = relativeError(actual, expected, floor);
  assert.ok(error <= tolerance, `${what}: relative error ${error.toExponential(2)}, tolerance ${tolerance}`);
}

/** The largest magnitude. */
export function largest(values: Iterable<number>): number {
  let magnitude = 0;
  for (const value of values) magnitude = Math.max(magnitude, Math.abs(value));
  return magnitude;
}
