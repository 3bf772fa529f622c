/**
 * @file Whether matrix units compute what they should: float16 on them is still switched on against Dawn's own caution
 * (its `vulkan_enable_f16_on_nvidia` says why), and a driver that gets it wrong would train nonsense without a word.
 */
import { ExitCode, UserError } from '../../errors.js';
import { hash32 } from '../../random.js';
import { Gpu, oneLine, type Precision, requestAdapter } from './device.js';
import { frozenWeights } from './deviceWeights.js';
import { type DeviceWindow, geometryOf, type MapShape, quadsOf, runOf } from './features.js';
import type { Kernel } from './kernel.js';
import { sumBytes } from './kernels/channelSums.js';
import {
  type ConvVariant,
  forwardKernel,
  forwardWeights,
  gradientWeights,
  inputGradientKernel,
  narrowFormats,
  type ProductPath,
  rowsPerSumOf,
  weightGradientKernel,
  wideFormats,
} from './kernels/convolution.js';
import { formats, readValues } from './kernels/formats.js';
import { type MatrixNumbers, type MatrixTile, matrixTiles } from './kernels/matrixGemm.js';
import { MAX_DEPTH, productGrid } from './kernels/product.js';
import type { Tensor } from './plan.js';
import { PlanBuilder } from './planBuilder.js';

/** Products of a 1×1 convolution, [rows, columns]. */
export interface ConvProducts {
  /** [pixels, outChannels] */
  readonly y: Float32Array;
  /** [pixels, inChannels] */
  readonly dx: Float32Array;
  /** [inChannels, outChannels]; in the formats of training times the weights and in {@link sumsOfRows}. */
  readonly dw: Float32Array;
  /** Of y, as statisticsSumsKernel lays them out, for chunks of the tile's `subgroupRows`; empty where not wanted. */
  readonly statistics: Float32Array;
}

/** Operands that every format holds exactly: levels, weights, and gradients as small as gradients are. */
export interface ConvProblem {
  readonly pixels: number;
  readonly inChannels: number;
  readonly outChannels: number;
  /** [pixels, inChannels], 0 … 15, or fewer levels */
  readonly x: Uint8Array<ArrayBuffer>;
  /** [outChannels, inChannels], −7 … 7 */
  readonly weights: Int8Array;
  /** [pixels, outChannels], −15 … 15 times 2^-30 */
  readonly dy: Float32Array<ArrayBuffer>;
}

const GRADIENT_UNIT = 2 ** -30;
/** As on the paper's crossbars. */
const ROWS_PER_BIT = 72;

/** More than one tile along every side, with remainders unless told otherwise. */
export function checkProblem({
  pixels = 140,
  inChannels = 72,
  outChannels = 260,
  levels = 16,
} = {}): ConvProblem {
  return {
    pixels,
    inChannels,
    outChannels,
    x: Uint8Array.from({ length: pixels * inChannels }, (_, i) => hash32(0, i) % levels),
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
  return { y, dx, dw, statistics: new Float32Array() };
}

type ProductFormats = Pick<ConvVariant, 'output' | 'gradient' | 'inputGradient'>;

/** The products as the GPU computes them, in tiles of `path`. */
export async function computedProducts(
  gpu: Gpu,
  path: ProductPath,
  { pixels, inChannels, outChannels, x, weights: levels, dy }: ConvProblem,
  productFormats: ProductFormats = wideFormats,
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
  const gradients = productFormats.gradient === 'bfloat16' ? upperHalves(dy) : dy;
  const statistics = path.kind === 'matrix' && productFormats.output === 'float16';
  const rowsPerSum = statistics ? rowsPerSumOf(path, [ROWS_PER_BIT]) : 1;
  const chunks = path.kind === 'matrix' ? Math.ceil(pixels / path.tile.subgroupRows) : 1;
  const tensors: Record<string, Tensor> = {
    x: builder.persistent('levels', x.byteLength, x),
    dy: builder.persistent('gradient', gradients.byteLength, gradients),
    range: builder.persistent('range', 4, largest),
    y: builder.persistent('y', (formats[productFormats.output].bytes / 4) * pixels * outChannels),
    dx: builder.persistent('dx', (formats[productFormats.inputGradient].bytes / 4) * pixels * inChannels),
    sums: builder.persistent('sums', sumBytes(quadsOf(outChannels), chunks)),
    dw: builder.persistent('dw', (4 * inChannels * outChannels) / rowsPerSum),
    frozen: weights.in(gradientWeights(path.kind === 'matrix')),
  };
  const variant = {
    path,
    dense: true,
    inRun: runOf(quadsOf(inChannels)),
    outRun: runOf(quadsOf(outChannels)),
    input: 'levels',
    ...productFormats,
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
      workgroups: productGrid(path.tile, { rows, columns }),
    });
  const float16: ProductPath = path.kind === 'matrix' ? { ...path, numbers: 'float16' } : path;
  const gradient = { ...variant, path: float16 };
  dispatch(forwardKernel({ ...variant, statistics }), weights.in(forwardWeights(path)), pixels, outChannels);
  dispatch(inputGradientKernel(gradient), tensors.frozen, pixels, inChannels);
  dispatch(weightGradientKernel({ ...gradient, rowsPerSum }), tensors.frozen, inChannels, outChannels);
  const plan = await builder.finish(gpu);
  try {
    const read = [tensors.y, tensors.dx, tensors.dw, ...(statistics ? [tensors.sums] : [])];
    const [y, dx, dw, sums] = await plan.run(read);
    return {
      y: readValues(y, productFormats.output),
      dx: readValues(dx, productFormats.inputGradient),
      dw: new Float32Array(dw),
      statistics: new Float32Array(sums ?? 0),
    };
  } finally {
    plan.close();
  }
}

/** What bfloat16 has of values that it holds exactly. */
export const upperHalves = (values: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> =>
  Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16);

/** Means and squared deviations of chunks of rows of y; channels are a multiple of four. */
export function chunkStatistics(
  y: Float32Array,
  { pixels, outChannels }: Pick<ConvProblem, 'pixels' | 'outChannels'>,
  rows: number,
): Float32Array {
  const chunks = Math.ceil(pixels / rows);
  const sums = new Float32Array(chunks * 2 * outChannels);
  for (let chunk = 0; chunk < chunks; chunk++) {
    const count = Math.min(rows, pixels - chunk * rows);
    for (let channel = 0; channel < outChannels; channel++) {
      const values = Array.from({ length: count }, (_, i) => y[(chunk * rows + i) * outChannels + channel]);
      const mean = values.reduce((a, b) => a + b) / count;
      const at = 2 * (chunk * outChannels + (channel & ~3)) + (channel & 3);
      sums[at] = mean;
      sums[at + 4] = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    }
  }
  return sums;
}

/** dw [inChannels, outChannels] times the weights, with so many neighbouring rows added up. */
export function sumsOfRows(
  dw: Float32Array,
  { inChannels, outChannels, weights }: Pick<ConvProblem, 'inChannels' | 'outChannels' | 'weights'>,
  rowsPerSum: number,
): Float32Array {
  const sums = new Float32Array(dw.length / rowsPerSum);
  for (let row = 0; row < inChannels; row++) {
    for (let output = 0; output < outChannels; output++) {
      const weighted = weights[output * inChannels + row] * dw[row * outChannels + output];
      sums[Math.floor(row / rowsPerSum) * outChannels + output] += weighted;
    }
  }
  return sums;
}

/**
 * The first product that is wrong, in words; null: all are right to the last bit, or within a tolerance, relative to the
 * product's largest.
 */
export function firstDifference(
  found: ConvProducts,
  expected: ConvProducts,
  tolerances: Partial<Record<keyof ConvProducts, number>> = {},
): string | null {
  for (const name of ['y', 'dx', 'dw', 'statistics'] as const) {
    const largest = expected[name].reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const distance = (tolerances[name] ?? 0) * largest;
    const at = expected[name].findIndex((value, i) => !(Math.abs(value - found[name][i]) <= distance));
    if (at >= 0) return `${name}[${at}] is ${found[name][at]} instead of ${expected[name][at]}`;
  }
  return null;
}

/**
 * Opens an adapter's device, with its matrix units where they are there and right. Where the driver refuses what they need,
 * or what it computes with them is wrong, training goes on in float32, and the device's description says why.
 * @throws UserError when the GPU does not even open for float32
 */
export async function openCheckedGpu(adapter: GPUAdapter, precision: Precision): Promise<Gpu> {
  let refused: string;
  try {
    const gpu = await Gpu.open(adapter, precision);
    try {
      await checkMatrixUnits(gpu);
      return gpu;
    } catch (error) {
      gpu.device.destroy();
      throw error;
    }
  } catch (error) {
    if (precision === 'float32') throw error;
    refused = oneLine(error instanceof Error ? error.message : String(error));
  }
  const another = await requestAdapter(); // an adapter makes one device only
  if (!another)
    throw new UserError(`the GPU is gone: ${refused}`, 'See `xbm engines`.', ExitCode.unavailable);
  const gpu = await Gpu.open(another, 'float32');
  gpu.leaveUnits(`this driver refuses them: ${refused}`);
  return gpu;
}

/**
 * Computes small convolutions on the matrix units, in every tile that may be used, with everything in 32 bits and in the
 * formats of training, and leaves the units alone where anything is wrong; int8 alone where float16 is right.
 */
export async function checkMatrixUnits(gpu: Gpu): Promise<void> {
  const { units } = gpu;
  if (!units) return;
  // A software GPU takes minutes to compile the large tiles.
  const tiles = matrixTiles(units, gpu.limits).slice(gpu.isSoftware ? -1 : 0);
  const checks = [wideCheck(), narrowCheck()];
  const numbersOfUnits: readonly MatrixNumbers[] = units.integers ? ['float16', 'int8'] : ['float16'];
  const trial = async (
    numbers: MatrixNumbers,
    tile: MatrixTile,
    { problem, formats, differenceOf }: Check,
  ) => {
    const path = { kind: 'matrix', tile, units, numbers } as const;
    const found = await computedProducts(gpu, path, problem, formats);
    return { numbers, tile, difference: differenceOf(found, path) };
  };
  const trials = numbersOfUnits.flatMap((numbers) =>
    tiles.flatMap((tile) => checks.map((check) => trial(numbers, tile, check))),
  );
  // All at once: what takes time is compiling the kernels, and drivers do that side by side.
  for (const { numbers, tile, difference } of await Promise.all(trials)) {
    if (difference === null) continue;
    if (numbers === 'int8') gpu.leaveIntegers();
    else gpu.leaveUnits(`this driver's are wrong (${tile.rows}×${tile.columns} tiles: ${difference})`);
    return;
  }
}

interface Check {
  readonly problem: ConvProblem;
  readonly formats: ProductFormats;
  differenceOf(found: ConvProducts, path: ProductPath & { kind: 'matrix' }): string | null;
}

/** Everything exact, to the last bit. */
function wideCheck(): Check {
  const problem = checkProblem();
  const expected = expectedProducts(problem);
  return { problem, formats: wideFormats, differenceOf: (found) => firstDifference(found, expected) };
}

/** As training has it: small sums, which float16 has exactly, and gradients within what bfloat16 rounds. */
function narrowCheck(): Check {
  const problem = checkProblem({ inChannels: 64, outChannels: 256, levels: 4 });
  const expected = expectedProducts(problem);
  return {
    problem,
    formats: narrowFormats,
    differenceOf(found, path) {
      const statistics = chunkStatistics(expected.y, problem, path.tile.subgroupRows);
      const dw = sumsOfRows(expected.dw, problem, rowsPerSumOf(path, [ROWS_PER_BIT]));
      return firstDifference(found, { ...expected, dw, statistics }, { dx: 2 ** -8, statistics: 1e-5 });
    },
  };
}
