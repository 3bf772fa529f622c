import assert from 'node:assert/strict';
import { test } from 'node:test';
import { levelLimit } from '../../src/model/backbone.js';
import type { CovarianceBlock } from '../../src/model/inputCovariance.js';
import { quantizeWeights } from '../../src/model/quantize.js';
import { roundWithFeedback } from '../../src/model/roundWeights.js';
import { noise } from './fixtures.js';

/** Covariance of inputs that share a common part, as activations do. */
function correlated(start: number, size: number, share: number): CovarianceBlock {
  const spread = noise(`spread ${start}`, size).map((x) => 1.2 + x);
  const values = new Float64Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) values[i * size + j] = spread[i] * spread[j] * (i === j ? 1 : share);
  return { start, size, values };
}

/** Error of the layer's output: Σ over channels and blocks of eᵀ C e, e = w − scale · level. */
function outputError(
  values: Float32Array,
  quantized: { levels: Int8Array; scales: Float32Array },
  blocks: readonly CovarianceBlock[],
): number {
  const rows = values.length / quantized.scales.length;
  let total = 0;
  quantized.scales.forEach((scale, channel) => {
    for (const { start, size, values: covariance } of blocks) {
      const at = channel * rows + start;
      const error = Array.from({ length: size }, (_, i) => values[at + i] - scale * quantized.levels[at + i]);
      for (let i = 0; i < size; i++)
        for (let j = 0; j < size; j++) total += error[i] * covariance[i * size + j] * error[j];
    }
  });
  return total;
}

for (const bits of [2, 3, 4]) {
  test(`feedback lowers the output error at ${bits} bits`, () => {
    const values = noise('weights', 6 * 100);
    const nearest = quantizeWeights(values, 6, bits);
    const blocks = [correlated(0, 72, 0.7), correlated(72, 28, 0.5)];
    const better = roundWithFeedback(values, nearest, blocks);
    assert.deepEqual(better.scales, nearest.scales);
    assert.ok(better.levels.every((level) => Math.abs(level) <= levelLimit(bits)));
    const ratio = outputError(values, better, blocks) / outputError(values, nearest, blocks);
    assert.ok(ratio < 0.6, `${ratio} of the error of rounding to the nearest level`);
  });
}

test('uncorrelated or dead inputs are rounded to the nearest level', () => {
  const values = noise('weights', 4 * 40);
  const nearest = quantizeWeights(values, 4, 4);
  assert.deepEqual(roundWithFeedback(values, nearest, [correlated(0, 40, 0)]).levels, nearest.levels);
  const dead = { start: 0, size: 40, values: new Float64Array(1600) };
  assert.deepEqual(roundWithFeedback(values, nearest, [dead]).levels, nearest.levels);
});
