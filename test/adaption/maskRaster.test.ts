import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maskRaster } from '../../src/adaption/maskRaster.js';

test('few segments: one cell a bit, turned so that output channels run across', () => {
  const mask = Uint8Array.from([1, 0, 1, 0, 0, 1]); // 2 channels of 3 segments
  assert.deepEqual(maskRaster(mask, 2), {
    columns: 2,
    rows: 3,
    grey: Uint8Array.from([255, 0, 0, 0, 255, 255]),
  });
});

test('many bits a filter are averaged, the last row over what is left', () => {
  const mask = new Uint8Array(129).fill(1, 2, 4); // rows of 3 bits: 1 of 3 and 1 of 3 on, 43 rows
  const { rows, grey } = maskRaster(mask, 1);
  assert.equal(rows, 43);
  assert.deepEqual([...grey.subarray(0, 3)], [85, 85, 0]);
  const ragged = maskRaster(new Uint8Array(127).fill(1), 1);
  assert.deepEqual([ragged.rows, ragged.grey.every((cell) => cell === 255)], [64, true]);
});
