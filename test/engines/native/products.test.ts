/**
 * @file The matrix products against sums written out: random geometries, all formats. Operands hold integers small enough
 * for every format, so that products are exact and any difference is an error.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Addon } from '../../../src/engines/native/addon.js';
import type { Format, Geometry } from '../../../src/engines/native/features.js';
import { ProgramBuilder, type Tensor } from '../../../src/engines/native/program.js';
import { outputSize } from '../../../src/model/graph.js';
import { hash32 } from '../../../src/random.js';
import { assertClose, largest } from '../assertClose.js';
import { testAddons } from './variants.js';

const { addons, skip } = await testAddons();
const runs = Number(process.env.XBM_FUZZ_RUNS ?? 60);

interface Problem {
  readonly geometry: Geometry;
  /** [taps · inChannels, outChannels], −7 … 7 where it is drawn */
  readonly weights: Int8Array;
  /** [batch, inHeight, inWidth, inChannels], 0 … 15 where it is drawn */
  readonly x: Uint8Array;
  /** [batch, outHeight, outWidth, outChannels], −15 … 15 */
  readonly dy: Float32Array;
  /** Kernels are told. */
  readonly largestProduct: number;
  /** Input channels of a mask bit, a multiple of four. */
  readonly segmentChannels: number;
}

type Window = Omit<Geometry, 'outHeight' | 'outWidth'>;

const drawnProduct = 15 * 7;
/** native/xbm.h's FIXED16_LIMIT. */
const largestFixed16 = 32767;

function problemOf(window: Window, seed: number, largestProduct = drawnProduct): Problem {
  const { batch, inHeight, inWidth, inChannels, outChannels, kernel } = window;
  const [outHeight, outWidth] = [outputSize(inHeight, window), outputSize(inWidth, window)];
  const draw = (length: number, stream: number, spread: number) =>
    Array.from({ length }, (_, i) => hash32(seed, stream, i) % spread);
  return {
    geometry: { ...window, outHeight, outWidth },
    weights: Int8Array.from(draw(kernel ** 2 * inChannels * outChannels, 0, 15), (level) => level - 7),
    x: Uint8Array.from(draw(batch * inHeight * inWidth * inChannels, 1, 16)),
    dy: Float32Array.from(draw(batch * outHeight * outWidth * outChannels, 2, 31), (value) => value - 15),
    largestProduct,
    segmentChannels: 4 * (1 + (hash32(seed, 3) % (inChannels / 4))),
  };
}

const between = (min: number, max: number) => fc.integer({ min, max });
const channels = (mostVectors: number) => between(1, mostVectors).map((vectors) => 16 * vectors);

/** Small maps of many channels, and large ones of few, by large kernels. */
const problems = fc
  .oneof(
    fc.record({
      batch: between(1, 3),
      inHeight: between(3, 9),
      inWidth: between(3, 9),
      inChannels: channels(9),
      outChannels: channels(5),
      kernel: between(1, 3),
      stride: between(1, 3),
      padding: between(0, 1),
    }),
    fc.record({
      batch: between(1, 3),
      inHeight: between(7, 24),
      inWidth: between(7, 24),
      inChannels: fc.constant(16),
      outChannels: channels(3),
      kernel: between(1, 7),
      stride: between(1, 3),
      padding: between(0, 3),
    }),
  )
  .filter((window) => multiplications(window) <= MOST_MULTIPLICATIONS)
  .chain((window) =>
    fc
      // Where sums are widened before they could overflow: as late as can be, seldom, and after every product.
      .tuple(fc.nat(), fc.constantFrom(drawnProduct, 1000, 5000, 16383))
      .map(([seed, largestProduct]) => problemOf(window, seed, largestProduct)),
  );

/** Of one product: the sums written out below take their time. */
const MOST_MULTIPLICATIONS = 4e6;
const multiplications = (window: Window): number =>
  window.batch *
  outputSize(window.inHeight, window) *
  outputSize(window.inWidth, window) *
  window.kernel ** 2 *
  window.inChannels *
  window.outChannels;

/** 360 dwords of levels for each output: more than twice what fits in int16 of 15 · 7. */
const manyLevels = {
  ...{ batch: 1, inHeight: 5, inWidth: 5, inChannels: 160, outChannels: 48 },
  ...{ kernel: 3, stride: 1, padding: 1 },
};
const manyChannels = {
  ...{ batch: 2, inHeight: 3, inWidth: 3, inChannels: 32, outChannels: 1072 },
  ...{ kernel: 2, stride: 1, padding: 1 },
};
/** As many channels as share a scale: sums of the largest values just fit in int32. */
const oneFullScale = {
  ...{ batch: 1, inHeight: 1, inWidth: 1, inChannels: 16, outChannels: 512 },
  ...{ kernel: 1, stride: 1, padding: 0 },
};
const manyPixels = { batch: 3, inHeight: 15, inWidth: 15, inChannels: 16, outChannels: 48 };

/** Largest levels and weights: of 4 and 8 bits, and where pairs of products fill int16. */
const limits: readonly (readonly [number, number])[] = [
  [15, 7],
  [255, 7],
  [15, 127],
  [127, 127],
  [255, 63],
  [255, 127],
];
const isExact = ({ int8LevelLimit, int8ProductLimit }: Addon, [level, weight]: readonly [number, number]) =>
  level <= int8LevelLimit && level * weight <= int8ProductLimit;

if (skip) test('products of the native kernels', { skip }, () => {});

for (const [name, addon] of Object.entries(addons)) {
  const forwards: Format[] = addon.hasInt8 ? ['float32', 'levels8'] : ['float32'];
  const backwards: Format[] = ['float32'];
  if (addon.hasBfloat16) backwards.push('bfloat16');
  if (addon.hasFixed16) backwards.push('fixed16');

  describe(`products of the ${name} kernels`, { skip }, () => {
    for (const forward of forwards) {
      for (const backward of backwards) {
        const check = async (problem: Problem, splits: number) => {
          const found = await compute(problem, forward, backward, splits);
          const expected = written(problem);
          assert.deepEqual(found.y, expected.y, 'output');
          assert.deepEqual(found.dx, expected.dx, 'input gradient');
          assert.deepEqual(found.dw, expected.dw, 'weight gradient');
          if (!found.dbits) return;
          const tolerance = largestBitSum(problem) < 2 ** 24 ? 0 : 1e-6;
          assertClose(found.dbits, bitGradients(problem, expected.dw), tolerance, 'mask gradient');
        };
        const title = `${forward} forward, ${backward} backward`;
        test(`${title}: output, input gradient, weight gradient`, () =>
          fc.assert(fc.asyncProperty(problems, between(1, 3), check), { numRuns: runs }));
        // 675 pixels: GRADIENT_PIXELS (256), as many again and an odd rest, in one split or in three.
        for (const splits of [1, 3])
          test(`${title}: pixels for three parts of a weight gradient, ${splits} of them splits`, () =>
            check(problemOf({ ...manyPixels, kernel: 7, stride: 1, padding: 3 }, 1), splits));
        test(`${title}: more channels than share a scale in fixed point`, () =>
          check(problemOf(manyChannels, 1), 2));
        if (backward === 'fixed16')
          for (const extreme of [127, -127])
            test(`${title}: nothing but the largest gradients and weights ${extreme}`, () => {
              const problem = problemOf(oneFullScale, 1, 15 * 127);
              problem.dy.fill(largestFixed16);
              problem.weights.fill(extreme);
              return check(problem, 1);
            });
        if (forward !== 'levels8') continue;
        for (const [level, weight] of limits.filter((pair) => isExact(addon, pair))) {
          for (const extreme of [weight, -weight]) {
            test(`${title}: nothing but levels ${level} and weights ${extreme}`, () => {
              const problem = problemOf(manyLevels, 1, level * weight);
              problem.x.fill(level);
              problem.weights.fill(extreme);
              return check(problem, 1);
            });
          }
        }
      }
    }
  });

  async function compute(
    { geometry, weights, x, dy, largestProduct, segmentChannels }: Problem,
    forward: Format,
    backward: Format,
    splits: number,
  ) {
    const builder = new ProgramBuilder(addon);
    const { kernel, inChannels, outChannels } = geometry;
    const [taps, size] = [kernel ** 2, weights.length];
    const widest = Math.max(256, inChannels, outChannels);
    const ones = builder.persistent('ones', 4 * widest, new Float32Array(widest).fill(1));
    const zeros = builder.persistent('zeros', 4 * widest);
    const source = forward === 'levels8' ? x : Float32Array.from(x);
    const input = builder.persistent('x', source.byteLength, source);
    const encoded = encode[backward](dy, outChannels, addon.fixed16Channels);
    const gradient = builder.persistent('dy', encoded.byteLength, encoded);
    const [w, wTransposed] = [
      builder.persistent('w', 4 * size),
      builder.persistent('transposed w', 4 * size),
    ];
    builder.call('maskWeights', {
      scores: ones,
      bits: builder.persistent('bits', outChannels, new Uint8Array(outChannels).fill(255)),
      frozen: builder.persistent('frozen', size, weights),
      w,
      wTransposed,
      frozenFormat: 'levels8',
      format: forward,
      gradientFormat: backward,
      taps,
      rowStride: inChannels,
      inPadded: inChannels,
      inChannels,
      outChannels,
      outPadded: outChannels,
      rowsPerBit: taps * inChannels,
      bitsPerFilter: 1,
      binarizer: 'identity',
      threshold: 0,
      slope: 0,
      noise: 0,
      seed: 0,
      layerKey: 0,
    });
    const y = builder.persistent('y', dy.byteLength);
    const dx = builder.persistent('dx', 4 * x.length);
    const dw = builder.persistent('dw', 4 * splits * size);
    const product = { ...geometry, zeros, scales: ones, largestProduct };
    builder.call('gather', { ...product, x: input, w, y, format: forward, transposed: 0 });
    builder.call('gather', {
      ...product,
      x: gradient,
      w: wTransposed,
      y: dx,
      format: backward,
      transposed: 1,
    });
    builder.call('weightGradient', {
      ...geometry,
      x: input,
      dy: gradient,
      dw,
      inputFormat: forward,
      format: backward,
      splits,
    });
    // The test's own levels, not what kernels are told.
    const isExactMask = taps * (segmentChannels / 4) * largest(x) * largest(weights) <= addon.int8SumLimit;
    const masks = forward === 'levels8' && isExactMask;
    const bitsPerFilter = Math.ceil(inChannels / segmentChannels);
    const sums = builder.persistent('sums', 4 * splits * bitsPerFilter * outChannels);
    if (masks) {
      builder.call('maskGradient', {
        ...geometry,
        x: input,
        zeros,
        dy: gradient,
        w,
        sums,
        format: backward,
        segmentChannels,
        bitsPerFilter,
        blocks: splits,
      });
    }
    const program = builder.finish(2);
    await program.run(Object.fromEntries(addon.stepValues.map((step) => [step, 0])));
    const total = (tensor: Tensor, size: number) => {
      const parts = program.floatsOf(tensor, splits * size);
      return Float32Array.from({ length: size }, (_, i) => {
        let sum = 0;
        for (let split = 0; split < splits; split++) sum += parts[split * size + i];
        return sum;
      });
    };
    const result = {
      y: program.floatsOf(y, dy.length).slice(),
      dx: program.floatsOf(dx, x.length).slice(),
      dw: total(dw, size),
      dbits: masks ? total(sums, bitsPerFilter * outChannels) : null,
    };
    program.close();
    return result;
  }
}

/** Gradients as products read them. */
const encode: Record<
  string,
  (values: Float32Array, channels: number, channelsOfUnit: number) => Float32Array | Uint16Array | Uint8Array
> = {
  float32: (values) => values,
  /** The upper halves of values that these are enough for. */
  bfloat16: (values) => Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16),
  fixed16: toFixed16,
};

/** Pixels of whole numbers in units that differ from one to the next, and from one part of a pixel's channels to the next. */
function toFixed16(values: Float32Array, channels: number, channelsOfUnit: number): Uint8Array {
  const parts = Math.ceil(channels / channelsOfUnit);
  const bytes = 2 * channels + 4 * parts;
  const pixels = values.length / channels;
  const view = new DataView(new ArrayBuffer(pixels * bytes));
  for (let pixel = 0; pixel < pixels; pixel++) {
    // One in the first pixel: what fills all bits must stay as it is.
    const unitOf = (part: number) => 2 ** -((pixel + part) % 11);
    for (let c = 0; c < channels; c++) {
      const units = values[pixel * channels + c] / unitOf(Math.floor(c / channelsOfUnit));
      view.setInt16(pixel * bytes + 2 * c, units, true);
    }
    for (let part = 0; part < parts; part++)
      view.setFloat32(pixel * bytes + 2 * channels + 4 * part, unitOf(part), true);
  }
  return new Uint8Array(view.buffer);
}

/** No sum on the way to a bit's gradient is larger: below 2^24 floats have them exactly. */
function largestBitSum({ geometry, weights, x, dy, segmentChannels }: Problem): number {
  const { batch, outHeight, outWidth, kernel } = geometry;
  const products = batch * outHeight * outWidth * kernel ** 2 * segmentChannels;
  return products * largest(x) * largest(weights) * largest(dy);
}

/** [bitsPerFilter, outChannels]: the gradient of the weights times these, over all taps of a bit's channels. */
function bitGradients({ geometry, weights, segmentChannels }: Problem, dw: Float32Array): Float32Array {
  const { inChannels, outChannels } = geometry;
  const gradients = new Float64Array(Math.ceil(inChannels / segmentChannels) * outChannels);
  weights.forEach((weight, i) => {
    const channel = Math.floor(i / outChannels) % inChannels;
    gradients[Math.floor(channel / segmentChannels) * outChannels + (i % outChannels)] += weight * dw[i];
  });
  return Float32Array.from(gradients);
}

/** The three products as sums over output pixels, taps and channels. */
function written({ geometry, weights, x, dy }: Problem) {
  const { batch, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels, kernel, stride, padding } =
    geometry;
  const [y, dx, dw] = [dy, x, weights].map(({ length }) => new Float64Array(length));
  for (let image = 0; image < batch; image++) {
    for (let i = 0; i < outHeight; i++) {
      for (let j = 0; j < outWidth; j++) {
        const target = ((image * outHeight + i) * outWidth + j) * outChannels;
        for (let tap = 0; tap < kernel ** 2; tap++) {
          const h = i * stride + Math.floor(tap / kernel) - padding;
          const w = j * stride + (tap % kernel) - padding;
          if (h < 0 || h >= inHeight || w < 0 || w >= inWidth) continue;
          const source = ((image * inHeight + h) * inWidth + w) * inChannels;
          for (let c = 0; c < inChannels; c++) {
            const row = (tap * inChannels + c) * outChannels;
            for (let o = 0; o < outChannels; o++) {
              y[target + o] += x[source + c] * weights[row + o];
              dx[source + c] += dy[target + o] * weights[row + o];
              dw[row + o] += x[source + c] * dy[target + o];
            }
          }
        }
      }
    }
  }
  return { y: Float32Array.from(y), dx: Float32Array.from(dx), dw: Float32Array.from(dw) };
}
