/**
 * @file The three products of a convolution, in every tile size there is and on matrix units where the GPU has them,
 * against the definition in float64.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Gpu } from '../../../src/engines/webgpu/device.js';
import {
  type DeviceWindow,
  geometryOf,
  isDense,
  padWeights,
  quadsOf,
  runOf,
} from '../../../src/engines/webgpu/features.js';
import type { Kernel, Workgroups } from '../../../src/engines/webgpu/kernel.js';
import { sumBytes } from '../../../src/engines/webgpu/kernels/channelSums.js';
import {
  forwardKernel,
  inputGradientKernel,
  inputPhases,
  narrowFormats,
  type ProductPath,
  rowsPerSumOf,
  weightGradientKernel,
  wideFormats,
} from '../../../src/engines/webgpu/kernels/convolution.js';
import {
  type FeatureFormat,
  formats as quadBytes,
  readValues,
} from '../../../src/engines/webgpu/kernels/formats.js';
import { floatTiles } from '../../../src/engines/webgpu/kernels/gemm.js';
import { matrixTiles } from '../../../src/engines/webgpu/kernels/matrixGemm.js';
import { MAX_DEPTH, productGrid } from '../../../src/engines/webgpu/kernels/product.js';
import type { Tensor } from '../../../src/engines/webgpu/plan.js';
import { PlanBuilder } from '../../../src/engines/webgpu/planBuilder.js';
import { upperHalves } from '../../../src/engines/webgpu/selfCheck.js';
import { hash32 } from '../../../src/random.js';
import { assertClose } from '../assertClose.js';
import { gaussian } from '../fixtures.js';
import { testGpu } from './gpu.js';

const { skip, open, facts } = await testGpu();
const gpu = skip ? null : await open();
after(() => gpu?.device.destroy());

/** Padded as residual networks pad: an odd kernel keeps the size at stride 1. */
const windowOf = (inChannels: number, outChannels: number, kernel: number, stride: number): DeviceWindow => {
  return { name: 'c', inChannels, outChannels, kernel, stride, padding: (kernel - 1) / 2, copies: 1 };
};

/** Sizes that fill more than one tile, with remainders everywhere. */
const windows: Readonly<Record<string, { window: DeviceWindow; size: number; batch: number }>> = {
  '1×1': { window: windowOf(70, 133, 1, 1), size: 7, batch: 3 },
  '1×1, stride 2': { window: windowOf(36, 70, 1, 2), size: 9, batch: 3 },
  '3×3': { window: windowOf(18, 69, 3, 1), size: 8, batch: 3 },
  '3×3, stride 2': { window: windowOf(66, 10, 3, 2), size: 11, batch: 2 },
  // Channels that are loaded sixteen at a time.
  '3×3, wide': { window: windowOf(32, 80, 3, 1), size: 7, batch: 2 },
  '1×1, wide, stride 2': { window: windowOf(48, 32, 1, 2), size: 9, batch: 2 },
  '7×7, stride 2': { window: windowOf(3, 20, 7, 2), size: 15, batch: 2 },
};

/** Tiles of each kind of product, the largest first. */
const paths: ProductPath[][] = [floatTiles.map((tile) => ({ kind: 'float', tile }))];
if (gpu?.units) {
  const { units } = gpu;
  const tiles = matrixTiles(units, gpu.limits);
  for (const numbers of units.integers ? (['float16', 'int8'] as const) : (['float16'] as const))
    paths.push(tiles.map((tile) => ({ kind: 'matrix', tile, units, numbers })));
}

const narrowGradients = { ...narrowFormats, output: 'float32' } as const; // where there is no float16
type Formats = typeof wideFormats | typeof narrowFormats | typeof narrowGradients;

describe('products of a convolution', { skip }, () => {
  if (!gpu) return;
  for (const path of paths.flat()) {
    for (const [title, { window, size, batch }] of Object.entries(windows)) {
      if (facts?.software && !isForSoftware(path, title)) continue;
      const where = path.kind === 'matrix' ? `matrix units, ${path.numbers}` : 'float32';
      for (const formats of path.kind === 'matrix'
        ? [wideFormats, narrowFormats]
        : [wideFormats, narrowGradients]) {
        test(`${where}, ${path.tile.rows}×${path.tile.columns}, ${formats.output} and ${formats.gradient}: ${title}`, () =>
          productsAgree(gpu, path, formats, window, size, batch));
      }
    }
  }
});

/**
 * A software GPU takes seconds to compile a kernel in float32, and up to ten minutes one for matrix units: the smallest
 * tile, and one window in the largest float32 one.
 */
function isForSoftware(path: ProductPath, title: string): boolean {
  const kind = paths.find((tiles) => tiles.includes(path))!;
  const i = kind.indexOf(path);
  return i === kind.length - 1 || (path.kind === 'float' && i === 0 && title === '3×3, stride 2');
}

async function productsAgree(
  gpu: Gpu,
  path: ProductPath,
  formats: Formats,
  window: DeviceWindow,
  size: number,
  batch: number,
): Promise<void> {
  const { inChannels, outChannels, kernel, stride, padding } = window;
  const outSize = Math.floor((size + 2 * padding - kernel) / stride) + 1;
  const shape = (channels: number, side: number) => ({
    batch,
    height: side,
    width: side,
    channels,
    quads: quadsOf(channels),
    pixels: batch * side * side,
  });
  const [input, output] = [shape(inChannels, size), shape(outChannels, outSize)];
  const factor = 0.25;
  const draw = (count: number, value: (i: number) => number) =>
    Float64Array.from({ length: count }, (_, i) => value(i));
  const levels = draw(input.pixels * inChannels, (i) => hash32(1, i) % 16);
  const weights = draw(outChannels * inChannels * kernel ** 2, (i) => (hash32(2, i) % 15) - 7);
  // Tiny, as gradients are: float16 holds nothing below 6e-8 unless it is scaled.
  const dy = draw(output.pixels * outChannels, (i) => toBfloat16(1e-9 * gaussian(4, i)));

  const y = new Float64Array(output.pixels * outChannels);
  const dx = new Float64Array(input.pixels * inChannels);
  const dw = new Float64Array(weights.length);
  for (let pixel = 0; pixel < output.pixels; pixel++) {
    const image = Math.floor(pixel / outSize ** 2);
    const [top, left] = [Math.floor(pixel / outSize) % outSize, pixel % outSize];
    for (let tap = 0; tap < kernel ** 2; tap++) {
      const row = top * stride - padding + Math.floor(tap / kernel);
      const column = left * stride - padding + (tap % kernel);
      if (row < 0 || column < 0 || row >= size || column >= size) continue;
      const source = ((image * size + row) * size + column) * inChannels;
      for (let out = 0; out < outChannels; out++) {
        const gradient = dy[pixel * outChannels + out];
        for (let channel = 0; channel < inChannels; channel++) {
          const w = (out * inChannels + channel) * kernel ** 2 + tap;
          y[pixel * outChannels + out] += levels[source + channel] * weights[w] * factor;
          dx[source + channel] += gradient * weights[w] * factor;
          dw[w] += gradient * levels[source + channel] * factor;
        }
      }
    }
  }

  const builder = new PlanBuilder(gpu);
  const isMatrix = path.kind === 'matrix';
  const padMap = (values: Float64Array, channels: number, pixels: number): Float32Array<ArrayBuffer> => {
    const padded = new Float32Array(pixels * 4 * quadsOf(channels));
    values.forEach((value, i) => {
      padded[Math.floor(i / channels) * 4 * quadsOf(channels) + (i % channels)] = value;
    });
    return padded;
  };
  const upload = (
    name: string,
    data:
      | Float32Array<ArrayBuffer>
      | Uint8Array<ArrayBuffer>
      | Uint16Array<ArrayBuffer>
      | Uint32Array<ArrayBuffer>,
  ) => builder.persistent(name, data.byteLength, data);
  const paddedWeights = padWeights(weights, window, 'rows');
  const filters = padWeights(weights, window, 'filters');
  const largest = Math.fround(dy.reduce((a, b) => Math.max(a, Math.abs(b)), 0));
  const paddedGradient = padMap(dy, outChannels, output.pixels);
  const tensors: Record<string, Tensor> = {
    x: upload('x', Uint8Array.from(padMap(levels, inChannels, input.pixels))),
    dy: upload('dy', formats === wideFormats ? paddedGradient : upperHalves(paddedGradient)),
    range: upload('range', new Uint32Array(Float32Array.of(0, largest).buffer)),
  };
  const geometry = geometryOf(window, input, output);
  const variant = {
    dense: isDense(window),
    inRun: runOf(input.quads),
    outRun: runOf(output.quads),
    input: 'levels',
    ...formats,
  } as const;
  const gradientPath: ProductPath = path.kind === 'matrix' ? { ...path, numbers: 'float16' } : path;
  const filtersOf = (path: ProductPath) => {
    if (path.kind === 'float') return paddedWeights;
    return path.numbers === 'int8' ? Uint8Array.from(filters, (level) => level & 0xff) : toHalf(filters);
  };
  const rows = upload('rows', isMatrix ? toHalf(paddedWeights) : paddedWeights);
  const chunkPixels = path.kind === 'matrix' ? path.tile.subgroupRows : output.pixels;
  const chunks = Math.ceil(output.pixels / chunkPixels);
  const sums = builder.persistent('sums', sumBytes(output.quads, chunks));
  const results: {
    name: string;
    actual: ReturnType<typeof builder.persistent>;
    read: (v: Float32Array) => Float64Array;
    format: FeatureFormat;
    expected: Float64Array;
  }[] = [];
  const run = (
    name: string,
    kernelOf: Kernel,
    w: Tensor,
    params: Record<string, number>,
    target: string,
    format: FeatureFormat,
    values: number,
    grid: Workgroups,
    expected: Float64Array,
    read: (values: Float32Array) => Float64Array,
  ) => {
    const actual = builder.persistent(target, (values / 4) * quadBytes[format].bytes);
    const all: Record<string, number> = { ...geometry, factor, rangeIndex: 1, ...params };
    builder.dispatch(kernelOf, {
      params: all,
      tensors: { ...tensors, sums, w, [target]: actual },
      workgroups: grid,
    });
    results.push({ name, actual, read, format, expected });
  };
  const unpad = (channels: number, pixels: number) => (values: Float32Array) =>
    Float64Array.from(
      { length: channels * pixels },
      (_, i) => values[Math.floor(i / channels) * 4 * quadsOf(channels) + (i % channels)],
    );

  run(
    'forward',
    forwardKernel({ ...variant, path, statistics: isMatrix }),
    upload('filters', filtersOf(path)),
    {},
    'y',
    formats.output,
    output.pixels * output.quads * 4,
    productGrid(path.tile, { rows: output.pixels, columns: 4 * output.quads }),
    y,
    unpad(outChannels, output.pixels),
  );
  const { phases, pixels } = inputPhases(geometry);
  run(
    'input gradient',
    inputGradientKernel({ ...variant, path: gradientPath }),
    rows,
    {},
    'dx',
    formats.inputGradient,
    input.pixels * input.quads * 4,
    productGrid(path.tile, { rows: batch * pixels, columns: 4 * input.quads }, phases),
    dx,
    unpad(inChannels, input.pixels),
  );
  /** Of a weight [outC, inC, k, k] in the padded matrix. */
  const paddedIndex = (w: number): number => {
    const [tap, channel] = [w % kernel ** 2, Math.floor(w / kernel ** 2) % inChannels];
    const out = Math.floor(w / kernel ** 2 / inChannels);
    return (tap * 4 * input.quads + channel) * 4 * output.quads + out;
  };
  const pixelsPerSplit = 2 * MAX_DEPTH;
  const splits = Math.ceil(output.pixels / pixelsPerSplit);
  run(
    'weight gradient',
    weightGradientKernel({ ...variant, path: gradientPath }),
    rows,
    { pixelsPerSplit },
    'dw',
    'float32',
    splits * paddedWeights.length,
    productGrid(path.tile, { rows: kernel ** 2 * 4 * input.quads, columns: 4 * output.quads }, splits),
    dw,
    (values) => {
      const total = sumOfParts(values, splits);
      return Float64Array.from(dw, (_, w) => total[paddedIndex(w)]);
    },
  );
  // As a mask's update has it: times the weights, neighbouring rows added up. In the formats that training has.
  const rowsPerSum = isMatrix === (formats !== wideFormats) ? rowsPerSumOf(path, [4 * input.quads]) : 1;
  if (rowsPerSum > 1) {
    const outPadded = 4 * output.quads;
    const sumsOf = (values: ArrayLike<number>) => {
      const sums = new Float64Array(values.length / rowsPerSum);
      for (let i = 0; i < values.length; i++) {
        sums[Math.floor(i / outPadded / rowsPerSum) * outPadded + (i % outPadded)] += values[i];
      }
      return sums;
    };
    const weightedGradient = new Float64Array(paddedWeights.length);
    dw.forEach((gradient, w) => {
      weightedGradient[paddedIndex(w)] = gradient * weights[w];
    });
    tensors.frozen = rows;
    run(
      `weighted gradient in sums of ${rowsPerSum} rows`,
      weightGradientKernel({ ...variant, path: gradientPath, rowsPerSum }),
      rows,
      { pixelsPerSplit },
      'dw',
      'float32',
      (splits * paddedWeights.length) / rowsPerSum,
      productGrid(path.tile, { rows: kernel ** 2 * 4 * input.quads, columns: outPadded }, splits),
      sumsOf(weightedGradient),
      (values) => sumOfParts(values, splits),
    );
  }

  const plan = await builder.finish(gpu);
  const read = await plan.run([...results.map(({ actual }) => actual), sums]);
  plan.close();
  results.forEach(({ name, read: unpadded, format, expected }, i) => {
    // Levels are exact on matrix units, gradients rounded to the 11 bits of float16; then the result is rounded.
    const product = isMatrix && name !== 'forward' ? 1e-3 : 3e-6;
    assertClose(unpadded(readValues(read[i], format)), expected, product + rounding[format], name);
  });
  assert.equal(results.length, rowsPerSum > 1 ? 4 : 3);
  if (!isMatrix) return;
  const stored = results[0].read(readValues(read[0], results[0].format));
  statisticsAgree(
    stored,
    output.pixels,
    outChannels,
    chunkPixels,
    new Float32Array(read[results.length]),
    formats === wideFormats ? 1e-5 : 1e-3,
  );
}

function sumOfParts(values: Float32Array, parts: number): Float64Array {
  const size = values.length / parts;
  return Float64Array.from({ length: size }, (_, i) => {
    let sum = 0;
    for (let part = 0; part < parts; part++) sum += values[part * size + i];
    return sum;
  });
}

/**
 * Means and squared deviations of chunks of pixels, from what was stored: [pixels, channels]. Compilers may leave
 * out the rounding to float16 of what is only summed up.
 */
function statisticsAgree(
  stored: Float64Array,
  pixels: number,
  channels: number,
  chunkPixels: number,
  sums: Float32Array,
  tolerance: number,
): void {
  const quads = quadsOf(channels);
  for (let chunk = 0; chunk * chunkPixels < pixels; chunk++) {
    const end = Math.min(pixels, (chunk + 1) * chunkPixels);
    for (let channel = 0; channel < channels; channel++) {
      const values = Array.from({ length: end - chunk * chunkPixels }, (_, i) => {
        return stored[(chunk * chunkPixels + i) * channels + channel];
      });
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      const at = 8 * (chunk * quads + (channel >> 2)) + (channel & 3);
      const where = `chunk ${chunk}, channel ${channel}`;
      const spread = Math.sqrt(squares / values.length) + Math.abs(mean);
      assert.ok(
        Math.abs(sums[at] - mean) <= tolerance * spread,
        `mean of ${where}: ${sums[at]}, not ${mean}`,
      );
      assert.ok(
        Math.abs(sums[at + 4] - squares) <= 10 * tolerance * squares + 1e-6,
        `squares of ${where}: ${sums[at + 4]}, not ${squares}`,
      );
    }
  }
}

const rounding: Readonly<Record<FeatureFormat, number>> = {
  float32: 0,
  float16: 2 ** -11,
  bfloat16: 2 ** -8,
  levels: 0,
};

/** The nearest value that bfloat16 has, ties away from zero. */
function toBfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = (bits[0] + 0x8000) & 0xffff0000;
  return new Float32Array(bits.buffer)[0];
}

/** Small integers in float16. */
function toHalf(values: Float32Array): Uint16Array<ArrayBuffer> {
  const halves: Record<number, number> = { 0: 0 };
  for (let exponent = 0; exponent < 3; exponent++) {
    for (let value = 2 ** exponent; value < 2 ** (exponent + 1); value++) {
      halves[value] = ((exponent + 15) << 10) | ((value - 2 ** exponent) << (10 - exponent));
      halves[-value] = halves[value] | 0x8000;
    }
  }
  return Uint16Array.from(values, (value) => halves[value]);
}
