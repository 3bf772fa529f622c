import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maskActivity, segmentBits } from '../../src/hardware/gating.js';
import { mapLayer } from '../../src/hardware/mapping.js';
import type { WeightLayer } from '../../src/hardware/network.js';

const layer: WeightLayer = {
  name: 'conv',
  kind: 'conv',
  rows: 100,
  outputs: 5,
  groups: 1,
  positions: 4,
  first: false,
  head: false,
};
const shape = (placement: 'arrays-per-digit' | 'digits-side-by-side') => ({
  rows: 72,
  columns: 4,
  digits: 2,
  policies: { placement, head: 'digital' as const },
});
/** [5 outputs, 2 segments] */
const bits = Uint8Array.from([1, 0, 1, 0, 0, 0, 1, 0, 1, 1]);
const mask = { rowsPerBit: 72, bits };

test('columns on, counted by hand: digits in arrays of their own', () => {
  const arrays = shape('arrays-per-digit');
  const mapping = mapLayer(layer, arrays);
  assert.equal(mapping.arrays, 2 * 2 * 2);
  // Blocks of outputs 0–3 and 4, twice each: segment 0 has 3 of 4 and 1 of 1 on, segment 1 has 0 of 4 and 1 of 1.
  const activity = maskActivity(mapping, arrays, mask, 'refuse');
  assert.equal(activity.onFraction, 2 * (3 / 4 + 1) + 2 * (0 + 1));
  assert.equal(activity.onColumnsFraction, (2 * (3 + 1) + 2 * 1) / 4);
  assert.equal(activity.arraysOn, 4 + 2);
  assert.equal(activity.maskBits, 10);
});

test('columns on, counted by hand: digits side by side', () => {
  const arrays = shape('digits-side-by-side');
  const mapping = mapLayer(layer, arrays);
  // 10 physical columns in arrays of 4, 4 and 2: outputs {0, 1}, {2, 3}, {4}.
  assert.equal(mapping.arrays, 2 * 3);
  const activity = maskActivity(mapping, arrays, mask, 'refuse');
  assert.equal(activity.onFraction, 2 / 2 + 1 / 2 + 1 + (0 + 0 + 1));
  assert.equal(activity.arraysOn, 3 + 1);
});

test('masks of other segment heights: exact where nested, else refused or remapped by AND of the off bits', () => {
  const conv = { name: 'conv', rows: 100, outputs: 1 };
  const learned = { rowsPerBit: 36, bits: Uint8Array.from([0, 0, 0]) };
  assert.throws(
    () => segmentBits(conv, 72, learned, 'refuse'),
    /36 rows cannot be priced on arrays of 72 rows/,
  );
  assert.deepEqual([...segmentBits(conv, 72, learned, 'and')], [0, 0]);
  const one = { rowsPerBit: 36, bits: Uint8Array.from([0, 1, 0]) };
  assert.deepEqual([...segmentBits(conv, 72, one, 'and')], [1, 0]);
  // 64-row arrays: the middle segment covers rows 64 … 99, that is bits 1 and 2.
  assert.deepEqual([...segmentBits(conv, 64, one, 'and')], [1, 1]);
  // A channel bit covers every segment: no remap needed.
  const channel = { rowsPerBit: 100, bits: Uint8Array.from([0]) };
  assert.deepEqual([...segmentBits(conv, 72, channel, 'refuse')], [0, 0]);
  const nested = { rowsPerBit: 64, bits: Uint8Array.from([0, 1]) };
  assert.deepEqual([...segmentBits(conv, 32, nested, 'refuse')], [0, 0, 1, 1]);
});

test('a mask of the wrong length is an error that names the layer', () => {
  const short = { rowsPerBit: 72, bits: new Uint8Array(3) };
  assert.throws(() => segmentBits(layer, 72, short, 'and'), /mask of conv has 3 bits.*need 10/);
});
