import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gumbelNoise } from '../../src/adaption/noise.js';

describe('gumbelNoise', () => {
  const length = 20_000;
  const scaled = gumbelNoise(3, 5, 'layer1.0.conv1', length);

  test('is a function of seed, step, layer and index alone', () => {
    assert.deepEqual(gumbelNoise(3, 5, 'layer1.0.conv1', length), scaled);
    assert.deepEqual(gumbelNoise(3, 5, 'layer1.0.conv1', 10), scaled.slice(0, 10));
  });

  test('differs by seed, step and layer without correlation', () => {
    const others = [
      gumbelNoise(4, 5, 'layer1.0.conv1', length),
      gumbelNoise(3, 6, 'layer1.0.conv1', length),
      gumbelNoise(3, 5, 'layer1.0.conv2', length),
      Float32Array.from([...scaled.slice(1), 0]),
    ];
    for (const other of others) {
      // The deviation of a sample correlation is 1/√n = 0.007.
      assert.ok(Math.abs(correlation(scaled, other)) < 0.03);
    }
  });

  test('a hundredth of the difference of two Gumbel draws, which is logistic: mean 0, variance π²/3, cdf 1/(1 + e^−x)', () => {
    const noise = scaled.map((x) => 100 * x);
    const mean = noise.reduce((sum, x) => sum + x, 0) / length;
    const variance = noise.reduce((sum, x) => sum + (x - mean) ** 2, 0) / length;
    assert.ok(Math.abs(mean) < 4 * Math.sqrt(Math.PI ** 2 / 3 / length), `mean ${mean}`);
    assert.ok(Math.abs(variance / (Math.PI ** 2 / 3) - 1) < 0.06, `variance ${variance}`);
    const sorted = noise.slice().sort();
    const distance = Math.max(...sorted.map((x, i) => Math.abs(1 / (1 + Math.exp(-x)) - (i + 0.5) / length)));
    // Kolmogorov–Smirnov at the 1e-4 level: 2.23/√n.
    assert.ok(distance < 2.23 / Math.sqrt(length), `distance ${distance}`);
  });

  test('at the first step it switches a bit off with probability 1/(1 + e^6), as in KSM', () => {
    const [slope, threshold, initialScore] = [12, 0.005, 0.01];
    const draws = gumbelNoise(0, 0, 'conv1', 200_000);
    const off = draws.filter((x) => slope * (initialScore - threshold) + x < 0).length / draws.length;
    assert.ok(Math.abs(off - 1 / (1 + Math.exp(6))) < 5e-4, `${off}`);
  });

  test('is finite for millions of draws', () => {
    assert.ok(gumbelNoise(0, 0, 'conv1', 2_000_000).every(Number.isFinite));
  });
});

function correlation(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
