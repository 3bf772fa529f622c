import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gumbelNoise } from '../../src/adaption/noise.js';

describe('gumbelNoise', () => {
  const length = 20_000;
  const noise = gumbelNoise(3, 5, 'layer1.0.conv1', length);

  test('is a function of seed, step, layer and index alone', () => {
    assert.deepEqual(gumbelNoise(3, 5, 'layer1.0.conv1', length), noise);
    assert.deepEqual(gumbelNoise(3, 5, 'layer1.0.conv1', 10), noise.slice(0, 10));
  });

  test('differs by seed, step and layer without correlation', () => {
    const others = [
      gumbelNoise(4, 5, 'layer1.0.conv1', length),
      gumbelNoise(3, 6, 'layer1.0.conv1', length),
      gumbelNoise(3, 5, 'layer1.0.conv2', length),
      Float32Array.from([...noise.slice(1), 0]),
    ];
    for (const other of others) {
      // The deviation of a sample correlation is 1/√n = 0.007.
      assert.ok(Math.abs(correlation(noise, other)) < 0.03);
    }
  });

  test('the difference of two Gumbel draws is logistic: mean 0, variance π²/3, cdf 1/(1 + e^−x)', () => {
    const mean = noise.reduce((sum, x) => sum + x, 0) / length;
    const variance = noise.reduce((sum, x) => sum + (x - mean) ** 2, 0) / length;
    assert.ok(Math.abs(mean) < 4 * Math.sqrt(Math.PI ** 2 / 3 / length), `mean ${mean}`);
    assert.ok(Math.abs(variance / (Math.PI ** 2 / 3) - 1) < 0.06, `variance ${variance}`);
    const sorted = noise.slice().sort();
    const distance = Math.max(...sorted.map((x, i) => Math.abs(1 / (1 + Math.exp(-x)) - (i + 0.5) / length)));
    // Kolmogorov–Smirnov at the 1e-4 level: 2.23/√n.
    assert.ok(distance < 2.23 / Math.sqrt(length), `distance ${distance}`);
  });

  test('is finite for millions of draws', () => {
    assert.ok(gumbelNoise(0, 0, 'conv1', 2_000_000).every(Number.isFinite));
  });
});

function correlation(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
