import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { frozenWeights, weightBytes } from '../../../src/engines/webgpu/deviceWeights.js';
import {
  type DeviceWindow,
  inQuadsOf,
  padWeights,
  weightCount,
} from '../../../src/engines/webgpu/features.js';
import { linearWorkgroups } from '../../../src/engines/webgpu/kernel.js';
import type { WeightLayout } from '../../../src/engines/webgpu/kernels/convolution.js';
import {
  gridWeightsKernel,
  maskedWeightsKernel,
  weightUpdateKernel,
} from '../../../src/engines/webgpu/kernels/weights.js';
import { PlanBuilder } from '../../../src/engines/webgpu/planBuilder.js';
import { decodeFloat16 } from '../../../src/model/dtype.js';
import { hash32, uniform } from '../../../src/random.js';
import { plainSgd, tinyMethod } from '../fixtures.js';
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
    builder.dispatch(weightUpdateKernel(plainSgd, 'Weights', true, 1), {
      params: {
        inChannels: 1,
        copyChannels: 4,
        outChannels: channels,
        inQuads: 1,
        outQuads: channels / 4,
        taps: 1,
        offset: 0,
        limit,
        splits: 1,
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

describe('weights as the products read them', { skip }, () => {
  const window = { name: 'c', inChannels: 5, outChannels: 7, kernel: 3, stride: 1, padding: 1 };
  const layouts: WeightLayout[] = [
    { order: 'rows', type: 'f32' },
    { order: 'filters', type: 'f32' },
    { order: 'filters', type: 'i8' },
    ...(gpu?.units
      ? [{ order: 'rows', type: 'f16' } as const, { order: 'filters', type: 'f16' } as const]
      : []),
  ];
  const size = window.outChannels * window.inChannels * window.kernel ** 2;
  const levels = Int8Array.from({ length: size }, (_, i) => (hash32(1, i) % 15) - 7);
  for (const layout of layouts) {
    for (const copies of [1, 2] as const) {
      test(`${layout.order} of ${layout.type}, ${copies === 1 ? 'once' : 'twice'}: masked and trained levels`, async () => {
        await weightsAgree({ ...window, copies }, layout);
      });
    }
  }

  async function weightsAgree(device: DeviceWindow, layout: WeightLayout): Promise<void> {
    const builder = new PlanBuilder(gpu!);
    const scales = Float32Array.from({ length: device.outChannels }, (_, i) => 0.01 * (i + 1));
    const frozen = frozenWeights(builder, device, { kind: 'levels', levels, scales, bits: 4 }, false);
    const taps = device.kernel ** 2;
    const perFilter = device.inChannels * taps;
    const isOff = (i: number) => hash32(2, i) % 3 === 0;
    // One bit per weight: scores for the masked ones; for the trained ones values near their level.
    const scores = Float32Array.from(levels, (_, i) => (isOff(i) ? 0 : 0.01));
    const trained = Float32Array.from(
      levels,
      (level, i) => (level + 0.3) * scales[Math.floor(i / perFilter)],
    );
    const params = {
      inChannels: device.inChannels,
      copyChannels: 8,
      outChannels: device.outChannels,
      inQuads: inQuadsOf(device),
      outQuads: 2,
      taps,
      offset: 0,
    };
    const results = [0, 1].map((n) => builder.persistent(`w${n}`, weightBytes(device, layout)));
    const workgroups = linearWorkgroups(weightCount(device) / 4);
    const { mask } = tinyMethod('piggyback');
    builder.dispatch(maskedWeightsKernel(mask!, layout), {
      params: { ...params, rowsPerBit: 1, bitsPerFilter: perFilter, seed: 0, layerKey: 0 },
      tensors: {
        frozen: frozen.in(layout),
        tensors: builder.persistent('scores', scores.byteLength, scores),
        w: results[0],
      },
      workgroups,
    });
    builder.dispatch(gridWeightsKernel(layout), {
      params: { ...params, limit: 7 },
      tensors: {
        tensors: builder.persistent('trained', trained.byteLength, trained),
        scales: builder.persistent('scales', scales.byteLength, scales),
        w: results[1],
      },
      workgroups,
    });
    const plan = await builder.finish(gpu!);
    const [masked, rounded] = (await plan.run(results)).map((bytes) => {
      if (layout.type === 'f32') return [...new Float32Array(bytes)];
      return layout.type === 'i8' ? [...new Int8Array(bytes)] : [...decodeFloat16(new Uint16Array(bytes))];
    });
    plan.close();
    const positive = (values: Float32Array) => [...values].map((value) => value + 0); // no −0
    const on = levels.map((level, i) => (isOff(i) ? 0 : level));
    assert.deepEqual(
      masked.map((v) => v + 0),
      positive(padWeights(on, device, layout.order)),
    );
    assert.deepEqual(
      rounded.map((v) => v + 0),
      positive(padWeights(levels, device, layout.order)),
    );
  }
});
