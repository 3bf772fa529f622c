/**
 * @file The matrix products against sums written out: random geometries, all formats. Operands hold integers small enough
 * for every format, so that products are exact and any difference is an error.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Format, formats, type Geometry } from '../../../src/engines/native/features.js';
import { ProgramBuilder } from '../../../src/engines/native/program.js';
import { outputSize } from '../../../src/model/graph.js';
import { hash32 } from '../../../src/random.js';
import { testAddons } from './variants.js';

const { addons, skip } = await testAddons();
const runs = Number(process.env.XBM_FUZZ_RUNS ?? 60);

interface Problem {
  readonly geometry: Geometry;
  /** [taps · inChannels, outChannels] */
  readonly weights: Int8Array;
  /** [batch, inHeight, inWidth, inChannels], 0 … 15 */
  readonly x: Uint8Array;
  /** [batch, outHeight, outWidth, outChannels], −15 … 15 */
  readonly dy: Float32Array;
}

const problems = fc
  .record({
    batch: fc.integer({ min: 1, max: 3 }),
    inHeight: fc.integer({ min: 3, max: 9 }),
    inWidth: fc.integer({ min: 3, max: 9 }),
    inVectors: fc.integer({ min: 1, max: 9 }),
    outVectors: fc.integer({ min: 1, max: 5 }),
    kernel: fc.integer({ min: 1, max: 3 }),
    stride: fc.integer({ min: 1, max: 3 }),
    padding: fc.integer({ min: 0, max: 1 }),
    seed: fc.nat(),
  })
  .map(({ inVectors, outVectors, seed, ...window }): Problem => {
    const along = (inputSize: number) => outputSize(inputSize, window);
    const [outHeight, outWidth] = [along(window.inHeight), along(window.inWidth)];
    const geometry = {
      ...window,
      outHeight,
      outWidth,
      inChannels: 16 * inVectors,
      outChannels: 16 * outVectors,
    };
    const draw = (length: number, stream: number, spread: number) =>
      Array.from({ length }, (_, i) => hash32(seed, stream, i) % spread);
    const { batch, inHeight, inWidth, inChannels, outChannels, kernel } = geometry;
    return {
      geometry,
      weights: Int8Array.from(draw(kernel ** 2 * inChannels * outChannels, 0, 15), (level) => level - 7),
      x: Uint8Array.from(draw(batch * inHeight * inWidth * inChannels, 1, 16)),
      dy: Float32Array.from(draw(batch * outHeight * outWidth * outChannels, 2, 31), (value) => value - 15),
    };
  });

if (skip) test('products of the native kernels', { skip }, () => {});

for (const [name, addon] of Object.entries(addons)) {
  const forwards: Format[] = addon.hasInt8 ? ['float32', 'uint8'] : ['float32'];
  const backwards: Format[] = addon.hasBfloat16 ? ['float32', 'bfloat16'] : ['float32'];

  describe(`products of the ${name} kernels`, { skip }, () => {
    for (const forward of forwards) {
      for (const backward of backwards) {
        test(`${forward} forward, ${backward} backward: output, input gradient, weight gradient`, () =>
          fc.assert(
            fc.asyncProperty(problems, fc.integer({ min: 1, max: 3 }), async (problem, splits) => {
              const found = await compute(problem, forward, backward, splits);
              const expected = written(problem);
              assert.deepEqual(found.y, expected.y, 'output');
              assert.deepEqual(found.dx, expected.dx, 'input gradient');
              assert.deepEqual(found.dw, expected.dw, 'weight gradient');
            }),
            { numRuns: runs },
          ));
      }
    }
  });

  async function compute(
    { geometry, weights, x, dy }: Problem,
    forward: Format,
    backward: Format,
    splits: number,
  ) {
    const builder = new ProgramBuilder(addon);
    const { kernel, inChannels, outChannels } = geometry;
    const [taps, size] = [kernel ** 2, weights.length];
    const ones = builder.persistent('ones', 4 * 256, new Float32Array(256).fill(1));
    const zeros = builder.persistent('zeros', 4 * 256);
    const source = forward === 'uint8' ? x : Float32Array.from(x);
    const input = builder.persistent('x', source.byteLength, source);
    const gradient = builder.persistent('dy', dy.byteLength, dy);
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
      frozenFormat: formats.uint8,
      format: formats[forward],
      gradientFormat: formats[backward],
      taps,
      rowStride: inChannels,
      inPadded: inChannels,
      inChannels,
      outChannels,
      outPadded: outChannels,
      rowsPerBit: taps * inChannels,
      bitsPerFilter: 1,
      binarizer: 0,
      threshold: 0,
      slope: 0,
      noise: 0,
      seed: 0,
      layerKey: 0,
    });
    const converted = builder.persistent('converted dy', dy.byteLength);
    builder.call('convertGradient', {
      x: gradient,
      y: converted,
      scales: ones,
      pixels: dy.length / outChannels,
      channels: outChannels,
      format: formats[backward],
    });
    const y = builder.persistent('y', dy.byteLength);
    const dx = builder.persistent('dx', 4 * x.length);
    const dw = builder.persistent('dw', 4 * splits * size);
    const product = { ...geometry, zeros, scales: ones };
    builder.call('gather', { ...product, x: input, w, y, format: formats[forward], transposed: 0 });
    builder.call('gather', {
      ...product,
      x: converted,
      w: wTransposed,
      y: dx,
      format: formats[backward],
      transposed: 1,
    });
    const inputFormat = formats[forward];
    const format = formats[backward];
    builder.call('weightGradient', { ...geometry, x: input, dy: converted, dw, inputFormat, format, splits });
    const program = builder.finish(2);
    await program.run(Object.fromEntries(addon.stepValues.map((step) => [step, 0])));
    const parts = program.floatsOf(dw, splits * size);
    const result = {
      y: program.floatsOf(y, dy.length).slice(),
      dx: program.floatsOf(dx, x.length).slice(),
      dw: Float32Array.from({ length: size }, (_, i) => {
        let sum = 0;
        for (let split = 0; split < splits; split++) sum += parts[split * size + i];
        return sum;
      }),
    };
    program.close();
    return result;
  }
}

/** The three products as sums over output pixels, taps and channels. */
function written({ geometry, weights, x, dy }: Problem) {
  const { batch, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels, kernel, stride, padding } =
    geometry;
  const y = new Float32Array(dy.length);
  const dx = new Float32Array(x.length);
  const dw = new Float32Array(weights.length);
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
  return { y, dx, dw };
}
