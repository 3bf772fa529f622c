/** @file The check of matrix units: right products pass it, wrong ones do not. Its float32 path runs on any GPU. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { floatTiles } from '../../../src/engines/webgpu/kernels/gemm.js';
import {
  type ConvProducts,
  checkMatrixUnits,
  checkProblem,
  computedProducts,
  expectedProducts,
  firstDifference,
} from '../../../src/engines/webgpu/selfCheck.js';
import { testGpu } from './gpu.js';

const problem = checkProblem();
const expected = expectedProducts(problem);

test('every product has a value that a neighbour does not have', () => {
  for (const values of Object.values(expected as unknown as Record<string, Float32Array>)) {
    const different = values.filter((value, i) => i > 0 && value !== values[i - 1]).length;
    assert.ok(different > 0.9 * values.length, `${different} of ${values.length}`);
    assert.ok(values.every((value) => Number.isFinite(value)));
  }
});

test('one wrong value, a NaN too, is a difference', () => {
  const spoilt = (name: keyof ConvProducts, value: number) => {
    const copy = { ...expected, [name]: expected[name].slice() };
    copy[name][77] = value;
    return firstDifference(copy, expected);
  };
  assert.equal(firstDifference(expected, expected), null);
  for (const name of ['y', 'dx', 'dw'] as const) {
    assert.match(
      spoilt(name, expected[name][77] * (1 + 2 ** -20))!,
      new RegExp(`^${name}\\[77\\] is .* instead of`),
    );
    assert.match(spoilt(name, Number.NaN)!, /is NaN instead of/);
  }
});

const { skip, open } = await testGpu();
describe('the check on this GPU', { skip }, async () => {
  const gpu = skip ? null : await open();
  after(() => gpu?.device.destroy());

  test('products in float32 are exact', async () => {
    const path = { kind: 'float', tile: floatTiles.at(-1)! } as const;
    assert.equal(firstDifference(await computedProducts(gpu!, path, problem), expected), null);
  });

  test('matrix units pass it; where there are none, nothing is checked', async () => {
    const before = gpu!.matrix;
    await checkMatrixUnits(gpu!);
    assert.equal(gpu!.matrix, before);
  });
});
