/** @file What products compute in by processor and backbone, and where `auto` takes the engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Addon } from '../../../src/engines/native/addon.js';
import { whyPassedOver } from '../../../src/engines/native/index.js';
import { exactPrecision, type Precision } from '../../../src/engines/native/taskWeights.js';

const best: Precision = { forward: 'levels8', backward: 'bfloat16' };
const float32: Precision = { forward: 'float32', backward: 'float32' };

const kernels = {
  'AVX-512 VNNI': { int8LevelLimit: 255, int8ProductLimit: 255 * 128 },
  AVX2: { int8LevelLimit: 255, int8ProductLimit: 16383 },
  dotprod: { int8LevelLimit: 127, int8ProductLimit: 255 * 128 },
};

for (const [name, weightBits, activationBits, expected] of [
  ['AVX-512 VNNI', 4, 4, best],
  ['AVX-512 VNNI', 8, 8, best],
  ['AVX-512 VNNI', 32, 4, float32],
  ['AVX-512 VNNI', 4, 32, float32],
  // Two products of 255 · 127 do not fit in int16, of 255 · 63 and 127 · 127 they do.
  ['AVX2', 4, 4, best],
  ['AVX2', 7, 8, best],
  ['AVX2', 8, 7, best],
  ['AVX2', 8, 8, float32],
  ['dotprod', 8, 7, best],
  ['dotprod', 2, 8, float32],
] as const)
  test(`${name}, ${weightBits}-bit weights, ${activationBits}-bit activations: ${expected.forward}`, () => {
    const found = exactPrecision(kernels[name] as Addon, best, { weightBits, activationBits });
    assert.deepEqual(found, expected);
  });

test('auto takes the engine where it was measured to be faster', () => {
  for (const int8Name of ['AVX-512 VNNI', 'AVX-512', 'AVX-VNNI'])
    assert.equal(whyPassedOver({ hasInt8: 1, int8Name }), null);
  for (const int8Name of ['AVX2', 'i8mm', 'dotprod'])
    assert.equal(
      whyPassedOver({ hasInt8: 1, int8Name }),
      `by ${int8Name} it is not known to be much faster than onnx`,
    );
  assert.equal(whyPassedOver({ hasInt8: 0, int8Name: '' }), 'this processor has no int8 products');
});
