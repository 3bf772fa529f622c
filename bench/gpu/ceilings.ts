/** @file What this GPU does at best in plain WGSL: a large dense product of our own, and copying. */
import type { Gpu } from '../../src/engines/webgpu/device.js';
import { defineKernel, linearEntry, linearWorkgroups } from '../../src/engines/webgpu/kernel.js';
import {
  forwardKernel,
  forwardWeights,
  type ProductPath,
} from '../../src/engines/webgpu/kernels/convolution.js';
import { floatTiles } from '../../src/engines/webgpu/kernels/gemm.js';
import { type MatrixNumbers, matrixTiles } from '../../src/engines/webgpu/kernels/matrixGemm.js';
import { productGrid } from '../../src/engines/webgpu/kernels/product.js';
import { PlanBuilder } from '../../src/engines/webgpu/planBuilder.js';

export interface Ceilings {
  /** Floating-point operations per second of a large product, by the tiles that the engine may choose. */
  readonly products: readonly { readonly path: ProductPath; readonly flops: number }[];
  /** Read and written, per second. */
  readonly gigabytes: number;
}

const REPEATS = 10;

/** @param size `small` for a software GPU, which would take minutes */
export async function measureCeilings(gpu: Gpu, size: 'large' | 'small'): Promise<Ceilings> {
  const { units } = gpu;
  const paths: ProductPath[] = floatTiles.map((tile) => ({ kind: 'float', tile }));
  if (units) {
    const numbers: MatrixNumbers[] = units.integers ? ['float16', 'int8'] : ['float16'];
    for (const tile of matrixTiles(units, gpu.limits))
      for (const kind of numbers) paths.push({ kind: 'matrix', tile, units, numbers: kind });
  }
  const products: { path: ProductPath; flops: number }[] = [];
  for (const path of paths)
    products.push({ path, flops: await product(gpu, path, size === 'large' ? 4096 : 256) });
  return { products, gigabytes: await copying(gpu) };
}

/** Operations per second of levels [side, side] · weights [side, side]. */
async function product(gpu: Gpu, path: ProductPath, side: number): Promise<number> {
  const builder = new PlanBuilder(gpu);
  const weightBytes = { f32: 4, f16: 2, i8: 1 }[forwardWeights(path).type];
  const extent = { rows: side, columns: side };
  for (let i = 0; i < REPEATS; i++) {
    builder.dispatch(
      forwardKernel({ path, dense: true, inRun: 16, outRun: 16, input: 'levels', output: 'float32' }),
      {
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
          factor: 1,
        },
        tensors: {
          x: builder.persistent('levels', side * side),
          w: builder.persistent('weights', side * side * weightBytes),
          y: builder.persistent('product', 4 * side * side),
        },
        workgroups: productGrid(path.tile, extent),
      },
    );
  }
  return (REPEATS * 2 * side ** 3) / (await seconds(gpu, builder));
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
  return (REPEATS * 2 * bytes) / 1e9 / (await seconds(gpu, builder));
}

/** Milliseconds: a GPU takes some to raise its clock, and a run is timed from here, with its submission and the way back. */
const [WARM_UP, TIMED] = [500, 300];

/** Seconds of one run among as many as fill the time, submitted together. */
async function seconds(gpu: Gpu, builder: PlanBuilder): Promise<number> {
  const marker = builder.persistent('marker', 4); // reading it back waits for what was submitted before
  const plan = await builder.finish(gpu);
  const timed = async (runs: number) => {
    const started = performance.now();
    await Promise.all(Array.from({ length: runs }, () => plan.run([marker])));
    return performance.now() - started;
  };
  let one = await timed(1);
  for (const start = performance.now(); performance.now() - start < WARM_UP; ) one = await timed(1);
  const runs = Math.max(1, Math.ceil(TIMED / one));
  const best = Math.min(await timed(runs), await timed(runs), await timed(runs));
  plan.close();
  return best / runs / 1000;
}
