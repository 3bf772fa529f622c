import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import {
  normWorkgroups,
  statisticsKernel,
  statisticsSumsKernel,
} from '../../../src/engines/webgpu/kernels/batchNorm.js';
import { sumBytes, sumGrid } from '../../../src/engines/webgpu/kernels/channelSums.js';
import { COEFFICIENTS } from '../../../src/engines/webgpu/kernels/pointwise.js';
import type { Tensor } from '../../../src/engines/webgpu/plan.js';
import { PlanBuilder } from '../../../src/engines/webgpu/planBuilder.js';
import { chunkStatistics } from '../../../src/engines/webgpu/selfCheck.js';
import { BATCH_NORM_EPSILON } from '../../../src/model/graph.js';
import { uniform } from '../../../src/random.js';
import { testGpu } from './gpu.js';

const { skip, open } = await testGpu();
const gpu = skip ? null : await open();
after(() => gpu?.device.destroy());

describe('statistics of a batch norm', { skip }, () => {
  test('of more chunks than threads add them up, the last one a short one', async () => {
    const [chunks, pixelsPerChunk, quads] = [700, 3, 2];
    const pixels = chunks * pixelsPerChunk - 2;
    const value = (pixel: number, channel: number) => 5 + channel + uniform(channel, pixel);
    const outChannels = 4 * quads;
    const x = Float32Array.from({ length: pixels * outChannels }, (_, i) =>
      value(Math.floor(i / outChannels), i % outChannels),
    );
    const sums = new Float32Array(chunkStatistics(x, { pixels, outChannels }, pixelsPerChunk));
    const found = await coefficientsOf(pixels, 4 * quads, { chunks, pixelsPerChunk }, (builder) =>
      builder.persistent('sums', sums.byteLength, sums),
    );
    for (let channel = 0; channel < 4 * quads; channel++) {
      const values = Array.from({ length: pixels }, (_, pixel) => value(pixel, channel));
      const mean = values.reduce((a, b) => a + b) / pixels;
      const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / pixels;
      close(found.mean[channel], mean, 1e-6);
      close(
        found.runningVariance[channel],
        (0.1 * variance * unitOf(channel) ** 2 * pixels) / (pixels - 1),
        2e-5,
      );
    }
  });

  // One chunk; many; channels that do not fill their workgroup.
  for (const [pixels, channels] of [
    [50, 10],
    [5000, 10],
    [9000, 66],
  ]) {
    test(`${pixels} pixels of ${channels} channels, far from zero`, async () => {
      const quads = Math.ceil(channels / 4);
      const value = (pixel: number, channel: number) =>
        Math.fround(30 + channel + uniform(channel, pixel) * (1 + channel));
      const x = new Float32Array(pixels * 4 * quads);
      for (let pixel = 0; pixel < pixels; pixel++)
        for (let channel = 0; channel < channels; channel++)
          x[pixel * 4 * quads + channel] = value(pixel, channel);
      const { chunks, ...found } = await statistics(x, pixels, channels);
      if (pixels >= 5000) assert.ok(chunks > 64, `${chunks} chunks`);
      for (let channel = 0; channel < channels; channel++) {
        const values = Array.from({ length: pixels }, (_, pixel) => value(pixel, channel));
        const mean = values.reduce((sum, v) => sum + v, 0) / pixels;
        const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / pixels;
        const unit = unitOf(channel);
        const inverse = unit / Math.sqrt(variance * unit ** 2 + BATCH_NORM_EPSILON);
        close(found.mean[channel], mean, 1e-6);
        close(found.inverse[channel], inverse, 1e-5);
        close(found.runningMean[channel], 0.1 * mean * unit, 1e-6);
        close(found.runningVariance[channel], (0.1 * variance * unit ** 2 * pixels) / (pixels - 1), 2e-5);
      }
    });
  }
});

/** What a stored 1 stands for. */
const unitOf = (channel: number) => Math.fround(0.01 * 1.07 ** channel);

const close = (found: number, expected: number, tolerance: number) =>
  assert.ok(Math.abs(found - expected) <= tolerance * Math.abs(expected), `${found}, expected ${expected}`);

async function statistics(x: Float32Array<ArrayBuffer>, pixels: number, channels: number) {
  const quads = Math.ceil(channels / 4);
  const { lanes, chunks, pixelsPerChunk, workgroups } = sumGrid(pixels, quads);
  const found = await coefficientsOf(pixels, channels, { chunks, pixelsPerChunk }, (builder) => {
    const sums = builder.transient('sums', sumBytes(quads, chunks));
    builder.dispatch(statisticsSumsKernel(lanes, 'float32'), {
      params: { quads, pixels, pixelsPerChunk },
      tensors: { x: builder.persistent('x', x.byteLength, x), sums },
      workgroups,
    });
    return sums;
  });
  return { chunks, ...found };
}

/** @param emitSums where the sums of chunks come from */
async function coefficientsOf(
  pixels: number,
  channels: number,
  { chunks, pixelsPerChunk }: { chunks: number; pixelsPerChunk: number },
  emitSums: (builder: PlanBuilder) => Tensor,
) {
  const quads = Math.ceil(channels / 4);
  const builder = new PlanBuilder(gpu!);
  const unitValues = Float32Array.from({ length: 4 * quads }, (_, channel) => unitOf(channel));
  const units = builder.persistent('units', unitValues.byteLength, unitValues);
  const coefficients = builder.persistent('coefficients', COEFFICIENTS.length * quads * 16);
  // Weight and bias, running mean and variance, one after the other.
  const tensors = builder.persistent('tensors', 4 * channels * 4);
  const sums = emitSums(builder);
  builder.dispatch(statisticsKernel, {
    params: {
      channels,
      quads,
      chunks,
      norm: 0,
      count: pixels,
      pixelsPerChunk,
      weightOffset: 0,
      biasOffset: channels,
      meanOffset: 2 * channels,
      varianceOffset: 3 * channels,
    },
    tensors: { sums, units, coefficients, tensors },
    workgroups: normWorkgroups(quads),
  });
  const plan = await builder.finish(gpu!);
  const [coefficientBytes, tensorBytes] = await plan.run([coefficients, tensors]);
  plan.close();
  const coefficient = (name: (typeof COEFFICIENTS)[number]) =>
    new Float32Array(coefficientBytes).subarray(COEFFICIENTS.indexOf(name) * quads * 4);
  const tensor = (index: number) => new Float32Array(tensorBytes).subarray(index * channels);
  return {
    mean: coefficient('mean'),
    inverse: coefficient('inverse'),
    runningMean: tensor(2),
    runningVariance: tensor(3),
  };
}
