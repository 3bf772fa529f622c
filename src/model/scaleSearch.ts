/**
 * @file The scale s that minimises Σ (w − s·level)², level = clip(round(w / s), ±limit). For given levels the best
 * scale is Σ w·level / Σ level², where the error is Σ w² − (Σ w·level)² / Σ level². As s grows, a level drops from
 * k to k − 1 where s passes |w| / (k − ½): walking through all those points in order visits every possible levels.
 */

/** Above this many steps the walk gives way to a grid: long vectors at many bits, where the error is smooth. */
const EXACT_STEPS = 2 ** 20;

/** The best scale, rounded to float32; 0 where all weights are 0. */
export function bestScale(weights: Float32Array, limit: number): number {
  const magnitudes = weights.map(Math.abs).sort();
  const largest = magnitudes[magnitudes.length - 1] ?? 0;
  // Where even the widest scale underflows, every level is 0.
  if (Math.fround((0.1 * largest) / limit) === 0) return 0;
  const exact = magnitudes.length * limit ** 2 <= EXACT_STEPS;
  return exact ? walk(magnitudes, limit) : gridSearch(magnitudes, limit);
}

/** Exact. @param magnitudes ascending */
function walk(magnitudes: Float32Array, limit: number): number {
  const count = magnitudes.length;
  let cross = limit * magnitudes.reduce((sum, magnitude) => sum + magnitude, 0);
  let square = limit ** 2 * count;
  let best = { gain: cross ** 2 / square, scale: cross / square };
  // For each k the points |w| / (k − ½) are sorted as the weights are: merge `limit` sorted lists.
  const next = new Int32Array(limit + 1);
  const points = Float64Array.from({ length: limit + 1 }, (_, k) =>
    k === 0 ? Infinity : magnitudes[0] / (k - 0.5),
  );
  for (let step = count * limit; step > 1; step--) {
    let k = 1;
    for (let other = 2; other <= limit; other++) if (points[other] < points[k]) k = other;
    cross -= magnitudes[next[k]];
    square -= 2 * k - 1;
    next[k]++;
    points[k] = next[k] < count ? magnitudes[next[k]] / (k - 0.5) : Infinity;
    const gain = cross ** 2 / square;
    if (gain > best.gain) best = { gain, scale: cross / square };
  }
  return Math.fround(best.scale);
}

/** Shares of the largest useful scale; the best basins are then refined. */
const shares = Array.from({ length: 33 }, (_, i) => 0.2 + 0.85 * (i / 32));

/** From the three best points of a grid, optimises levels and scale in turn until neither moves. */
function gridSearch(magnitudes: Float32Array, limit: number): number {
  const largest = magnitudes[magnitudes.length - 1];
  const candidates = shares
    .map((share) => fit(magnitudes, (share * largest) / limit, limit))
    .sort((a, b) => a.error - b.error)
    .slice(0, 3);
  let best = candidates[0];
  for (let candidate of candidates) {
    for (;;) {
      const next = fit(magnitudes, candidate.fitted, limit);
      if (!(next.error < candidate.error)) break;
      candidate = next;
    }
    if (candidate.error < best.error) best = candidate;
  }
  return Math.fround(best.scale);
}

/** The error at a scale, and the scale that is best for its levels. */
function fit(magnitudes: Float32Array, scale: number, limit: number) {
  let error = 0;
  let cross = 0;
  let square = 0;
  for (let i = 0; i < magnitudes.length; i++) {
    const level = Math.min(limit, Math.round(magnitudes[i] / scale));
    error += (magnitudes[i] - level * scale) ** 2;
    cross += magnitudes[i] * level;
    square += level * level;
  }
  return { scale, error, fitted: square > 0 ? cross / square : scale };
}
