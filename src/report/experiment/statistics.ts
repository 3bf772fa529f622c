/** Mean over seeds. */
export interface Spread {
  readonly mean: number;
  /** Sample standard deviation (n − 1); null for one value. */
  readonly deviation: number | null;
  readonly count: number;
}

/** null for no values. */
export function spreadOf(values: readonly number[]): Spread | null {
  const count = values.length;
  if (count === 0) return null;
  // Equal values must give exactly that value.
  const mean = values[0] + values.reduce((sum, value) => sum + (value - values[0]), 0) / count;
  if (count === 1) return { mean, deviation: null, count };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (count - 1)), count };
}
