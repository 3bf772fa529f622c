/**
 * @file Whether matrix units compute what they should: float16 on them is still switched on against Dawn's own caution
 * (its `vulkan_enable_f16_on_nvidia` says why), and a driver that gets it wrong would train nonsense without a word.
 */
import { hash32 } from '../../random.js';
import { Gpu, type Precision } from './device.js';
import { frozenWeights } from './deviceWeights.js';
import { type DeviceWindow, geometryOf, type MapShape, quadsOf, runOf } from './features.js';
import type { Kernel } from './kernel.js';
import {
  forwardKernel,
  forwardWeights,
  gradientWeights,
  inputGradientKernel,
  type ProductPath,
  weightGradientKernel,
} from './kernels/convolution.js';
import { matrixTiles } from './kernels/matrixGemm.js';
import { MAX_DEPTH } from './kernels/product.js';
import type { Tensor } from './plan.js';
import { PlanBuilder } from './planBuilder.js';
import { tilesOf } from './products.js';

/** Products of a 1×1 convolution, [rows, columns]. */
export interface ConvProducts {
  /** [pixels, outChannels] */
  readonly y: Float32Array;
  /** [pixels, inChannels] */
  readonly dx: Float32Array;
  /** [inChannels, outChannels] */
  readonly dw: Float32Array;
}

/** Operands that every format holds exactly: levels, weights, and gradients as small as gradients are. */
export interface ConvProblem {
  readonly pixels: number;
  readonly inChannels: number;
  readonly outChannels: number;
  /** [pixels, inChannels], 0 … 15 */
  readonly x: Uint8Array<ArrayBuffer>;
  /** [outChannels, inChannels], −7 … 7 */
  readonly weights: Int8Array;
  /** [pixels, outChannels], −15 … 15 times 2^-30 */
  readonly dy: Float32Array<ArrayBuffer>;
}

const GRADIENT_UNIT = 2 ** -30;

/** More than one tile along every side, with remainders. */
export function checkProblem(): ConvProblem {
  const [pixels, inChannels, outChannels] = [140, 72, 260];
  return {
    pixels,
    inChannels,
    outChannels,
    x: Uint8Array.from({ length: pixels * inChannels }, (_, i) => hash32(0, i) % 16),
    weights: Int8Array.from({ length: outChannels * inChannels }, (_, i) => (hash32(1, i) % 15) - 7),
    dy: Float32Array.from(
      { length: pixels * outChannels },
      (_, i) => ((hash32(2, i) % 31) - 15) * GRADIENT_UNIT,
    ),
  };
}

/** All sums are integers below 2^24, times a power of two: float32 has them exactly, in any order. */
export function expectedProducts({
  pixels,
  inChannels,
  outChannels,
  x,
  weights,
  dy,
}: ConvProblem): ConvProducts {
  const y = new Float32Array(pixels * outChannels);
  const dx = new Float32Array(pixels * inChannels);
  const dw = new Float32Array(inChannels * outChannels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let output = 0; output < outChannels; output++) {
      const gradient = dy[pixel * outChannels + output];
      for (let input = 0; input < inChannels; input++) {
        const level = x[pixel * inChannels + input];
        const weight = weights[output * inChannels + input];
        y[pixel * outChannels + output] += level * weight;
        dx[pixel * inChannels + input] += gradient * weight;
        dw[input * outChannels + output] += gradient * level;
      }
    }
  }
  return { y, dx, dw };
}

/** The products as the GPU computes them, in tiles of `path`. */
export async function computedProducts(
  gpu: Gpu,
  path: ProductPath,
  { pixels, inChannels, outChannels, x, weights: levels, dy }: ConvProblem,
): Promise<ConvProducts> {
  const window: DeviceWindow = {
    name: 'check',
    inChannels,
    outChannels,
    kernel: 1,
    stride: 1,
    padding: 0,
    copies: 1,
  };
  const shape = (channels: number): MapShape => {
    return { batch: 1, height: pixels, width: 1, channels, quads: quadsOf(channels), pixels };
  };
  const geometry = geometryOf(window, shape(inChannels), shape(outChannels));
  const builder = new PlanBuilder(gpu);
  const scales = new Float32Array(outChannels).fill(1);
  const weights = frozenWeights(
    builder,
    window,
    { kind: 'levels', levels, scales, bits: 4 },
    path.kind === 'matrix',
  );
  const largest = Float32Array.of(15 * GRADIENT_UNIT);
  const tensors: Record<string, Tensor> = {
    x: builder.persistent('levels', x.byteLength, x),
    dy: builder.persistent('gradient', dy.byteLength, dy),
    range: builder.persistent('range', 4, largest),
    y: builder.persistent('y', 4 * pixels * outChannels),
    dx: builder.persistent('dx', 4 * pixels * inChannels),
    dw: builder.persistent('dw', 4 * inChannels * outChannels),
  };
  const variant = {
    path,
    dense: true,
    inRun: runOf(quadsOf(inChannels)),
    outRun: runOf(quadsOf(outChannels)),
    input: 'levels',
    output: 'float32',
    gradient: 'float32',
    inputGradient: 'float32',
  } as const;
  const split = Math.ceil(pixels / MAX_DEPTH) * MAX_DEPTH;
  const params: Record<string, number> = {
    ...geometry,
    factor: 1,
    rangeIndex: 0,
    pixelsPerSplit: split,
  };
  const dispatch = (kernel: Kernel, w: Tensor, rows: number, columns: number) =>
    builder.dispatch(kernel, {
      params,
      tensors: { ...tensors, w },
      workgroups: [...tilesOf(path, { rows, columns }), 1],
    });
  const float16: ProductPath = path.kind === 'matrix' ? { ...path, numbers: 'float16' } : path;
  const gradient = { ...variant, path: float16 };
  dispatch(forwardKernel(variant), weights.in(forwardWeights(path)), pixels, outChannels);
  dispatch(inputGradientKernel(gradient), weights.in(gradientWeights(path)), pixels, inChannels);
  dispatch(weightGradientKernel(gradient), tensors.dy, inChannels, outChannels);
  const plan = await builder.finish(gpu);
  try {
    const [y, dx, dw] = await plan.run([tensors.y, tensors.dx, tensors.dw]);
    return { y: new Float32Array(y), dx: new Float32Array(dx), dw: new Float32Array(dw) };
  } finally {
    plan.close();
  }
}

/** The first product that is wrong, in words; null: all are right to the last bit. */
export function firstDifference(found: ConvProducts, expected: ConvProducts): string | null {
  for (const name of ['y', 'dx', 'dw'] as const) {
    const at = expected[name].findIndex((value, i) => value !== found[name][i]);
    if (at >= 0) return `${name}[${at}] is ${found[name][at]} instead of ${expected[name][at]}`;
  }
  return null;
}

/** Opens an adapter's device, with its matrix units where they are there and right. @throws UserError when it does not open */
export async function openCheckedGpu(adapter: GPUAdapter, precision: Precision): Promise<Gpu> {
  const gpu = await Gpu.open(adapter, precision);
  await checkMatrixUnits(gpu);
  return gpu;
}

/**
 * Computes a small convolution on the matrix units, in every tile that may be used, and leaves the units alone where
 * anything is wrong: training goes on in float32, and the device's description says so.
 */
export async function checkMatrixUnits(gpu: Gpu): Promise<void> {
  const { units } = gpu;
  if (!units) return;
  const problem = checkProblem();
  const expected = expectedProducts(problem);
  const tiles = matrixTiles(units, gpu.limits);
  // A software GPU takes minutes to compile the large ones.
  for (const tile of gpu.isSoftware ? tiles.slice(-1) : tiles) {
    for (const numbers of units.integers ? (['float16', 'int8'] as const) : (['float16'] as const)) {
      const found = await computedProducts(gpu, { kind: 'matrix', tile, units, numbers }, problem);
      const difference = firstDifference(found, expected);
      if (difference === null) continue;
      gpu.leaveUnits(
        `this driver's are wrong (${numbers}, ${tile.rows}×${tile.columns} tiles: ${difference})`,
      );
      return;
    }
  }
}
