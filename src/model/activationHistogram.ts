/** Bins over [0, range]; the range doubles, merging bins in pairs, whenever a value exceeds it. */
const BINS = 8192;

/** The positive values of an activation tensor, in bounded memory: percentiles and the best clip. */
export class ActivationHistogram {
  #counts = new Float64Array(BINS);
  #range = 0;
  #total = 0;

  /** Positive values seen. */
  get total(): number {
    return this.#total;
  }

  add(values: Float32Array): void {
    let largest = 0;
    for (let i = 0; i < values.length; i++) if (values[i] > largest) largest = values[i];
    this.#reach(largest);
    const perUnit = BINS / this.#range;
    for (let i = 0; i < values.length; i++) {
      if (!(values[i] > 0)) continue;
      this.#counts[Math.min(BINS - 1, Math.floor(values[i] * perUnit))]++;
      this.#total++;
    }
  }

  /** The value below which `percent` of the positive values lie; 0 when there are none. */
  percentile(percent: number): number {
    let rest = (this.#total * percent) / 100;
    for (let bin = 0; bin < BINS; bin++) {
      if (rest <= this.#counts[bin] && this.#counts[bin] > 0)
        return ((bin + rest / this.#counts[bin]) * this.#range) / BINS;
      rest -= this.#counts[bin];
    }
    return this.#range;
  }

  /** The clip with the smallest squared error of levels 0 … 2^bits − 1 over [0, clip]; 0 when there are no values. */
  bestClip(bits: number): number {
    if (this.#total === 0) return 0;
    const candidates = Array.from({ length: 160 }, (_, i) => this.#range * 0.01 * 100 ** (i / 159));
    const errors = candidates.map((clip) => this.#error(clip, 2 ** bits - 1));
    return candidates[errors.indexOf(Math.min(...errors))];
  }

  #error(clip: number, levels: number): number {
    const step = clip / levels;
    let error = 0;
    for (let bin = 0; bin < BINS; bin++) {
      if (this.#counts[bin] === 0) continue;
      const value = ((bin + 0.5) * this.#range) / BINS;
      const level = Math.min(levels, Math.round(value / step));
      error += this.#counts[bin] * (value - level * step) ** 2;
    }
    return error;
  }

  #reach(value: number): void {
    if (this.#range === 0) this.#range = value;
    while (this.#range < value) {
      for (let bin = 0; bin < BINS / 2; bin++)
        this.#counts[bin] = this.#counts[2 * bin] + this.#counts[2 * bin + 1];
      this.#counts.fill(0, BINS / 2);
      this.#range *= 2;
    }
  }
}
