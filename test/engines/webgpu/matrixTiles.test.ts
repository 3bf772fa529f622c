import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matrixUnits } from '../../../src/engines/webgpu/device.js';
import { matrixThreads, matrixTiles } from '../../../src/engines/webgpu/kernels/matrixGemm.js';

const limits = {
  maxComputeWorkgroupStorageSize: 65_536,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
};
const units = { rows: 16, columns: 16, depth: 16, subgroupSize: 32 };

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

/** As Dawn describes an adapter. */
const adapterWith = (...shapes: [M: number, N: number, K: number][]) =>
  ({
    features: new Set([
      'shader-f16',
      'subgroups',
      'subgroup-size-control',
      'chromium-experimental-subgroup-matrix',
    ]),
    info: {
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
  assert.equal(matrixUnits(adapterWith([16, 16, 64])), null);
  assert.deepEqual(matrixUnits(adapterWith([16, 16, 64], [8, 16, 16])), {
    rows: 8,
    columns: 16,
    depth: 16,
    subgroupSize: 32,
  });
});
