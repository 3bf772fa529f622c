import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changedLevels } from '../../src/adaption/task.js';
import type { ConvWeights } from '../../src/model/backbone.js';

const levels = (...values: number[]): ConvWeights => ({
  kind: 'levels',
  levels: Int8Array.from(values),
  scales: new Float32Array([0.5]),
  bits: 4,
});

test('changed levels are counted over all convolutions that a task has of its own', () => {
  const backbone = { convs: { a: levels(1, 2, -3), b: levels(0, 7), c: levels(4) } };
  const own = { a: levels(1, 3, -2), b: levels(0, 7) };
  assert.deepEqual(changedLevels({ convs: own }, backbone), { changed: 2, weights: 5 });
});

test('without levels of its own, or on a full-precision backbone, there is nothing to count', () => {
  const floats: ConvWeights = { kind: 'float', values: new Float32Array(3) };
  assert.equal(changedLevels({ convs: {} }, { convs: { a: levels(1) } }), null);
  assert.equal(changedLevels({ convs: { a: floats } }, { convs: { a: floats } }), null);
});
