import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { weightUpdateKernel } from '../../../src/engines/webgpu/kernels/weights.js';
import { PlanBuilder } from '../../../src/engines/webgpu/planBuilder.js';
import { uniform } from '../../../src/random.js';
import { plainSgd } from '../fixtures.js';
import { testGpu } from './gpu.js';

const { skip, open } = await testGpu();
const gpu = skip ? null : await open();
after(() => gpu?.device.destroy());

describe('update of trained weights', { skip }, () => {
  test('weights that start on the largest level are trained, those beyond it are not', async () => {
    const [limit, channels] = [7, 256];
    const scales = Float32Array.from({ length: channels }, (_, i) => 0.01 + 0.1 * uniform(1, i));
    // As finetune starts: level · scale, rounded to float32; every other one a little further out.
    const start = scales.map((scale, i) => Math.fround(limit * scale) * (i % 2 === 0 ? 1 : 1.001));

    const builder = new PlanBuilder(gpu!);
    const upload = (name: string, data: Float32Array<ArrayBuffer>) =>
      builder.persistent(name, data.byteLength, data);
    const tensors = upload('tensors', start);
    const padded = new Float32Array(4 * channels).fill(1); // one input channel, padded to four
    builder.dispatch(weightUpdateKernel(plainSgd, 'Weights', true), {
      params: {
        inChannels: 1,
        copyChannels: 4,
        outChannels: channels,
        inQuads: 1,
        outQuads: channels / 4,
        taps: 1,
        offset: 0,
        limit,
      },
      tensors: {
        dw: upload('dw', padded),
        scales: upload('scales', scales),
        tensors,
        moment1: builder.persistent('moment', 4 * channels),
      },
      workgroups: [1, 1, 1],
    });
    const plan = await builder.finish(gpu!);
    plan.writeStep({
      learningRateMasks: 0,
      learningRateWeights: 0.5,
      learningRateBatchNorm: 0,
      learningRateHead: 0,
      correction1: 1,
      correction2: 1,
      index: 0,
    });
    const [bytes] = await plan.run([tensors]);
    plan.close();
    const moved = new Float32Array(bytes).map((value, i) => Number(value !== start[i]));
    assert.deepEqual(
      moved,
      start.map((_, i) => Number(i % 2 === 0)),
    );
  });
});
