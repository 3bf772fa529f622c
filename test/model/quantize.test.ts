import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { quantizeToGrid } from '../../src/adaption/fold.js';
import { dequantize, levelLimit } from '../../src/model/backbone.js';
import { quantizeBackbone, quantizeWeights } from '../../src/model/quantize.js';
import { bestScale } from '../../src/model/scaleSearch.js';
import { noise, randomBackbone } from './fixtures.js';

function squaredError(weights: Float32Array, scale: number, limit: number): number {
  let error = 0;
  for (const weight of weights) {
    const level = scale === 0 ? 0 : Math.max(-limit, Math.min(limit, Math.round(weight / scale)));
    error += (weight - level * scale) ** 2;
  }
  return error;
}

/** The global minimum: between two rounding boundaries |w| / (k − ½) the error is one parabola. */
function smallestError(weights: Float32Array, limit: number): number {
  const boundaries = [...weights]
    .flatMap((weight) => Array.from({ length: limit }, (_, k) => Math.abs(weight) / (k + 0.5)))
    .filter((boundary) => boundary > 0)
    .sort((a, b) => a - b);
  let best = squaredError(weights, 0, limit);
  boundaries.unshift(boundaries[0] / 2);
  for (let i = 0; i < boundaries.length; i++) {
    const middle = (boundaries[i] + (boundaries[i + 1] ?? 2 * boundaries[i])) / 2;
    let cross = 0;
    let square = 0;
    for (const weight of weights) {
      const level = Math.max(-limit, Math.min(limit, Math.round(weight / middle)));
      cross += weight * level;
      square += level * level;
    }
    // The parabola's vertex may lie outside its piece; there the error is smaller still, so the bound holds.
    if (square > 0) best = Math.min(best, squaredError(weights, cross / square, limit));
  }
  return best;
}

/** Roughly normal values. */
function normal(name: string, length: number): Float32Array {
  const parts = Array.from({ length: 6 }, (_, i) => noise(`${name}${i}`, length));
  return Float32Array.from({ length }, (_, i) => parts.reduce((sum, part) => sum + part[i], 0));
}

for (const bits of [2, 3, 4, 6, 8]) {
  test(`scale search against brute force at ${bits} bits`, () => {
    const limit = levelLimit(bits);
    for (let trial = 0; trial < 30; trial++) {
      const weights = normal(`${bits}/${trial}`, 1 + 9 * trial);
      if (trial % 5 === 0) weights[0] *= 6;
      const error = squaredError(weights, bestScale(weights, limit), limit);
      const best = smallestError(weights, limit);
      // At 6 and 8 bits the longer vectors take the grid.
      const tolerance = weights.length * limit ** 2 <= 2 ** 20 ? 1e-4 : 0.25;
      assert.ok(error >= best * (1 - 1e-4) - 1e-9, `trial ${trial}: better than the optimum`);
      assert.ok(error <= best * (1 + tolerance) + 1e-9, `trial ${trial}: ${error / best} of the optimum`);
    }
  });
}

test('levels stay in range, zero stays zero, and the grid is its own fixed point', () => {
  fc.assert(
    fc.property(
      fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 2, max: 8 }),
      fc.constantFrom('channel', 'layer'),
      (values, bits, per) => {
        const weights = Float32Array.from([...values, ...values.map((x) => x / 3)]);
        const quantized = quantizeWeights(weights, 2, bits, per as 'channel' | 'layer');
        const limit = levelLimit(bits);
        assert.ok(quantized.levels.every((level) => Math.abs(level) <= limit));
        weights.forEach((weight, i) => {
          if (weight === 0) assert.equal(quantized.levels[i], 0);
        });
        if (per === 'layer') assert.equal(quantized.scales[0], quantized.scales[1]);
        // What finetune computes before its first step is the backbone itself.
        assert.deepEqual(quantizeToGrid(weights, quantized), quantized);
        assert.deepEqual(quantizeToGrid(dequantize(quantized), quantized), quantized);
      },
    ),
  );
});

test('scaling the weights scales the scale', () => {
  const weights = normal('scaled', 500);
  const scale = bestScale(weights, 7);
  const double = bestScale(
    weights.map((weight) => weight * 2),
    7,
  );
  assert.equal(double, 2 * scale);
  assert.equal(bestScale(new Float32Array(9), 7), 0);
});

test('a quantised backbone keeps everything but its weights', () => {
  const float = randomBackbone(32, 32);
  const quantized = quantizeBackbone(float, 4);
  assert.notEqual(quantized.sha256, float.sha256);
  assert.deepEqual(quantized.batchNorms, float.batchNorms);
  assert.equal(quantized.weightBits, 4);
  assert.equal(quantizeBackbone(float, 32), float);
  let error = 0;
  let power = 0;
  for (const [name, weights] of Object.entries(quantized.convs)) {
    const values = dequantize(float.convs[name]);
    dequantize(weights).forEach((value, i) => {
      error += (value - values[i]) ** 2;
      power += values[i] ** 2;
    });
  }
  // Uniform values on 15 levels: error 1 / (3 · 15²) of the power; clipping gains a little.
  assert.ok(error / power < 1.2 / 225, `${error / power}`);
  assert.ok(error / power > 0.5 / 225, `${error / power}`);
});
