/** @file The check of matrix units: right products pass it, wrong ones do not. Its float32 path runs on any GPU. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { describeMatrix, requestAdapter } from '../../../src/engines/webgpu/device.js';
import { floatTiles } from '../../../src/engines/webgpu/kernels/gemm.js';
import {
  type ConvProducts,
  checkMatrixUnits,
  checkProblem,
  computedProducts,
  expectedProducts,
  firstDifference,
  openCheckedGpu,
} from '../../../src/engines/webgpu/selfCheck.js';
import { testGpu } from './gpu.js';

const problem = checkProblem();
const expected = expectedProducts(problem);

test('every product has a value that a neighbour does not have', () => {
  for (const values of [expected.y, expected.dx, expected.dw]) {
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

  test('a driver that refuses a kernel is left alone, and why is said', async () => {
    const adapter = (await requestAdapter())!;
    // Pretends to have matrix units in a shape that no driver has: Dawn refuses the kernels.
    const info = {
      subgroupMaxSize: 32,
      subgroupMatrixConfigs: [{ M: 16, N: 16, K: 16, componentType: 'f16', resultComponentType: 'f32' }],
    };
    const features = new Set([
      'shader-f16',
      'subgroups',
      'subgroup-size-control',
      'chromium-experimental-subgroup-matrix',
    ]);
    const pretending = {
      features,
      info,
      limits: adapter.limits,
      requestDevice: () => adapter.requestDevice({ requiredLimits: largeWorkgroups(adapter.limits) }),
    } as unknown as GPUAdapter;
    const checked = await openCheckedGpu(pretending, 'mixed');
    assert.equal(checked.units, null);
    assert.match(describeMatrix(checked.matrix), /this driver refuses them: /);
    checked.check(); // the device that failed is another
    checked.device.destroy();
  });

  test('matrix units pass it; where there are none, nothing is checked', async () => {
    const before = gpu!.matrix;
    await checkMatrixUnits(gpu!);
    assert.deepEqual(gpu!.matrix, before);
  });
});

const largeWorkgroups = ({
  maxComputeWorkgroupStorageSize,
  maxComputeInvocationsPerWorkgroup,
  maxComputeWorkgroupSizeX,
}: GPUSupportedLimits) => ({
  maxComputeWorkgroupStorageSize,
  maxComputeInvocationsPerWorkgroup,
  maxComputeWorkgroupSizeX,
});
