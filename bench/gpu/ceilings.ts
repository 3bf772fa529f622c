/** @file What this GPU does at best in plain WGSL: a large dense product of our own, and copying. */
import type { Gpu } from '../../src/engines/webgpu/device.js';
import { defineKernel, linearEntry, linearWorkgroups } from '../../src/engines/webgpu/kernel.js';
import { forwardKernel, type ProductPath } from '../../src/engines/webgpu/kernels/convolution.js';
import { floatTiles } from '../../src/engines/webgpu/kernels/gemm.js';
import { matrixTiles } from '../../src/engines/webgpu/kernels/matrixGemm.js';
import { PlanBuilder } from '../../src/engines/webgpu/planBuilder.js';
import { tilesOf } from '../../src/engines/webgpu/products.js';

export interface Ceilings {
  /** Floating-point operations per second. */
  readonly float32: number;
  /** Null without matrix units. */
  readonly matrix: number | null;
  /** Read and written, per second. */
  readonly gigabytes: number;
}

const REPEATS = 10;

export async function measureCeilings(gpu: Gpu): Promise<Ceilings> {
  const { units } = gpu;
  // A software GPU would take minutes.
  const side = gpu.limits.maxBufferSize > 2 ** 31 ? 4096 : 512;
  const best = async (paths: ProductPath[]) => {
    let flops = 0;
    for (const path of paths) flops = Math.max(flops, await product(gpu, path, side));
    return flops;
  };
  const float32 = await best(floatTiles.map((tile) => ({ kind: 'float', tile })));
  const tiles = units ? matrixTiles(units, gpu.limits) : [];
  const matrix = units ? await best(tiles.map((tile) => ({ kind: 'matrix', tile, units }))) : null;
  return { float32, matrix, gigabytes: await copying(gpu) };
}

/** Operations per second of levels [side, side] · weights [side, side]. */
async function product(gpu: Gpu, path: ProductPath, side: number): Promise<number> {
  const builder = new PlanBuilder(gpu);
  const weightBytes = path.kind === 'matrix' ? 2 : 4;
  const extent = { rows: side, columns: side };
  for (let i = 0; i < REPEATS; i++) {
    builder.dispatch(forwardKernel({ path, dense: true, input: 'levels' }), {
      params: {
        batch: 1,
        inHeight: side,
        inWidth: 1,
        inQuads: side / 4,
        outHeight: side,
        outWidth: 1,
        outQuads: side / 4,
        kernel: 1,
        stride: 1,
        padding: 0,
        inputStep: 1,
      },
      tensors: {
        x: builder.persistent('levels', side * side),
        w: builder.persistent('weights', side * side * weightBytes),
        scales: builder.persistent('scales', 4 * side),
        y: builder.persistent('product', 4 * side * side),
      },
      workgroups: [...tilesOf(path, extent), 1],
    });
  }
  return (REPEATS * 2 * side ** 3) / (await seconds(builder));
}

const copyKernel = defineKernel({
  label: 'copy',
  params: { size: 'u32' },
  buffers: { original: 'read vec4f', copied: 'read_write vec4f' },
  body: linearEntry('  if (i < params.size) { copied[i] = original[i]; }'),
});

async function copying(gpu: Gpu): Promise<number> {
  const bytes = 2 ** 27;
  const builder = new PlanBuilder(gpu);
  const [original, copied] = ['original', 'copy'].map((label) => builder.persistent(label, bytes));
  const size = bytes / 16;
  for (let i = 0; i < REPEATS; i++) {
    const workgroups = linearWorkgroups(size);
    builder.dispatch(copyKernel, { params: { size }, tensors: { original, copied }, workgroups });
  }
  return (REPEATS * 2 * bytes) / 1e9 / (await seconds(builder));
}

/** The best of three runs after a first. */
async function seconds(builder: PlanBuilder): Promise<number> {
  const marker = builder.persistent('marker', 4); // reading it back waits for what was submitted before
  const plan = await builder.finish();
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 4; run++) {
    const started = performance.now();
    await plan.run([marker]);
    if (run > 0) best = Math.min(best, performance.now() - started);
  }
  plan.close();
  return best / 1000;
}
