import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hash32, hashString, permutation, uniform } from '../src/random.js';

const n = 100_000;

describe('uniform', () => {
  const streams: Record<string, (i: number) => number> = {
    'last word counts': (i) => uniform(1, 2, i),
    'first word counts': (i) => uniform(i, 2, 1),
    'two words count': (i) => uniform(7, i % 317, Math.floor(i / 317)),
    'negative words': (i) => uniform(-i, 3),
  };
  for (const [title, draw] of Object.entries(streams)) {
    test(`${title}: uniform on (0, 1), successive draws uncorrelated`, () => {
      const draws = Float64Array.from({ length: n }, (_, i) => draw(i));
      const mean = draws.reduce((sum, u) => sum + u, 0) / n;
      assert.ok(Math.abs(mean - 0.5) < 4 / Math.sqrt(12 * n), `mean ${mean}`);
      let lag = 0;
      for (let i = 1; i < n; i++) lag += (draws[i] - 0.5) * (draws[i - 1] - 0.5) * 12;
      assert.ok(Math.abs(lag / n) < 4 / Math.sqrt(n), `lag-1 correlation ${lag / n}`);
      const sorted = draws.slice().sort();
      const distance = sorted.reduce((worst, u, i) => Math.max(worst, Math.abs(u - (i + 0.5) / n)), 0);
      assert.ok(distance < 2.23 / Math.sqrt(n), `Kolmogorov–Smirnov distance ${distance}`); // 1e-4 level
      assert.ok(sorted[0] > 0 && sorted[n - 1] < 1);
    });
  }
});

describe('hash32', () => {
  test('word order and length matter', () => {
    const keys = [[], [0], [0, 0], [1, 0], [0, 1], [1], [2, 1], [1, 2], [0, 0, 0]];
    assert.equal(new Set(keys.map((key) => hash32(...key))).size, keys.length);
  });

  test('never changes: every recorded run depends on it', () => {
    assert.deepEqual([hash32(0), hash32(1, 2, 3), hash32(-1)], [1173055101, 3026698210, 2790466554]);
    assert.equal(uniform(0, 1), 0.9233746457612142);
  });

  test('flipping one bit of any word flips half of the result’s bits', () => {
    let flipped = 0;
    const trials = 2_000;
    for (let i = 0; i < trials; i++) {
      const key = [i, 3 * i + 1, 7];
      const changed = key.slice();
      changed[i % 3] ^= 1 << (i % 32);
      let difference = hash32(...key) ^ hash32(...changed);
      for (; difference !== 0; difference &= difference - 1) flipped++;
    }
    assert.ok(Math.abs(flipped / trials - 16) < 0.3, `${flipped / trials} of 32 bits`);
  });
});

test('hashString is FNV-1a: published test vectors', () => {
  assert.equal(hashString(''), 0x811c9dc5);
  assert.equal(hashString('a'), 0xe40c292c);
  assert.equal(hashString('foobar'), 0xbf9cf968);
});

describe('permutation', () => {
  test('holds every index once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.integer(), (length, seed) => {
        const order = permutation(length, seed);
        assert.deepEqual(
          [...order].sort((a, b) => a - b),
          Array.from({ length }, (_, i) => i),
        );
      }),
    );
  });

  test('every order of 4 is as likely: χ² over 24 cells', () => {
    const trials = 24_000;
    const counts = new Map<string, number>();
    for (let seed = 0; seed < trials; seed++) {
      const order = permutation(4, seed, 11).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    assert.equal(counts.size, 24);
    const chiSquared = [...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    assert.ok(chiSquared < 58, `χ² ${chiSquared}`); // 23 degrees of freedom, 1e-4 level
  });
});
