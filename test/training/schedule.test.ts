import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { scaleRates, scheduleFactor } from '../../src/training/schedule.js';

test('cosine runs from 1 through ½ to 0', () => {
  const at = (step: number) => scheduleFactor({ kind: 'cosine' }, step, 100, 10);
  assert.equal(at(0), 1);
  assert.ok(Math.abs(at(50) - 0.5) < 1e-15);
  assert.ok(Math.abs(at(25) - (2 + Math.SQRT2) / 4) < 1e-15);
  assert.ok(Math.abs(at(100)) < 1e-15);
});

test('cosine decreases and is point-symmetric about the middle', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 100_000 }), fc.nat(), (total, n) => {
      const step = n % total;
      const at = (s: number) => scheduleFactor({ kind: 'cosine' }, s, total, 1);
      assert.ok(at(step) > at(step + 1));
      assert.ok(Math.abs(at(step) + at(total - step) - 1) < 1e-12);
    }),
  );
});

test('step multiplies by its factor every so many epochs', () => {
  const schedule = { kind: 'step', epochs: 15, factor: 0.1 } as const;
  const factors = [0, 149, 150, 299, 300].map((step) => scheduleFactor(schedule, step, 300, 10));
  assert.deepEqual(
    factors.map((factor) => factor.toPrecision(12)),
    [1, 1, 0.1, 0.1, 0.01].map((factor) => factor.toPrecision(12)),
  );
});

test('constant stays, and every group is scaled by the same factor', () => {
  assert.equal(scheduleFactor({ kind: 'constant' }, 12345, 20000, 7), 1);
  assert.deepEqual(scaleRates({ masks: 1, weights: 2, batchNorm: 3, head: 4 }, 0.5), {
    masks: 0.5,
    weights: 1,
    batchNorm: 1.5,
    head: 2,
  });
});
