import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matrixSupport } from '../../../src/engines/webgpu/device.js';
import { matrixThreads, matrixTiles } from '../../../src/engines/webgpu/kernels/matrixGemm.js';

const limits = {
  maxComputeWorkgroupStorageSize: 65_536,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
};
const units = { rows: 16, columns: 16, depth: 16, subgroupSize: 32, integers: null };

test('subgroups of 64 make workgroups of 512 threads: only where the device allows them', () => {
  const wide = { ...units, subgroupSize: 64 };
  const tiles = matrixTiles(wide, limits);
  assert.equal(tiles.length, 3);
  for (const tile of tiles) assert.equal(matrixThreads(tile, wide), 512);
  assert.deepEqual(matrixTiles(wide, { ...limits, maxComputeInvocationsPerWorkgroup: 256 }), []);
  assert.deepEqual(matrixTiles(wide, { ...limits, maxComputeWorkgroupSizeX: 256 }), []);
});

test('threads that cannot share a tile evenly leave it to others: subgroups of 128 and the smallest one', () => {
  const sides = matrixTiles({ ...units, subgroupSize: 128 }, limits).map(({ rows }) => rows);
  assert.deepEqual(sides, [128, 128]);
});

test('subgroups share what they store at a time: matrices of 8 rows leave half of 64 threads without any', () => {
  const small = { rows: 8, columns: 8, depth: 8, integers: null };
  assert.deepEqual(
    matrixTiles({ ...small, subgroupSize: 64 }, limits).map(({ rows, columns }) => [rows, columns]),
    [
      [128, 256],
      [128, 128],
    ],
  );
  assert.equal(matrixTiles({ ...small, subgroupSize: 32 }, limits).length, 3);
  assert.deepEqual(matrixTiles({ ...units, columns: 64, subgroupSize: 32 }, limits), []);
});

/** As Dawn describes an adapter. */
const adapterWith = (vendor: string, ...shapes: [M: number, N: number, K: number][]) =>
  ({
    features: new Set([
      'shader-f16',
      'subgroups',
      'subgroup-size-control',
      'chromium-experimental-subgroup-matrix',
    ]),
    info: {
      vendor,
      subgroupMaxSize: 32,
      subgroupMatrixConfigs: shapes.map(([M, N, K]) => ({
        M,
        N,
        K,
        componentType: 'f16',
        resultComponentType: 'f32',
      })),
    },
    limits,
  }) as unknown as GPUAdapter;

test('an adapter has matrix units when a tile fits one of its shapes, not only the first', () => {
  assert.deepEqual(matrixSupport(adapterWith('nvidia', [16, 16, 64])), {
    units: null,
    reason: 'f16 → f32 in a shape that a tile fits is wanted, the driver has 16×16×64 f16 → f32',
  });
  assert.deepEqual(matrixSupport(adapterWith('nvidia', [16, 16, 64], [8, 16, 16])).units, {
    rows: 8,
    columns: 16,
    depth: 16,
    subgroupSize: 32,
    integers: null,
  });
});

test('of several shapes the largest is taken', () => {
  const { units } = matrixSupport(adapterWith('nvidia', [16, 8, 8], [16, 16, 16], [16, 8, 16]));
  assert.deepEqual([units?.rows, units?.columns, units?.depth], [16, 16, 16]);
});

test('sums stay in the registers that an Intel thread has: the smallest tile only', () => {
  const { units } = matrixSupport(adapterWith('intel', [8, 16, 16]));
  assert.deepEqual(
    matrixTiles(units!, limits).map(({ rows, columns }) => [rows, columns]),
    [[64, 64]],
  );
});

test('without matrix units it is said what is missing', () => {
  const adapter = { ...adapterWith('nvidia', [16, 16, 16]), features: new Set(['shader-f16', 'subgroups']) };
  const support = matrixSupport(adapter as unknown as GPUAdapter);
  assert.ok(!support.units);
  assert.match(support.reason, /does not offer subgroup-size-control, chromium-experimental-subgroup-matrix/);
});
