/**
 * @file A network wider than those of the agreement tests, on matrix units: sums that float16 holds only scaled, and runs of
 * sixteen channels. 16 bits in memory against 32, and those against float32 registers, whose forward pass they share.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { initialTaskState } from '../../../src/adaption/parameters.js';
import type { Precision } from '../../../src/engines/webgpu/device.js';
import { WebGpuTrainingSession } from '../../../src/engines/webgpu/trainingSession.js';
import { buildResidualNetwork } from '../../../src/model/networks.js';
import { learningRates, randomPlan, tinyBatch, tinyMethod } from '../fixtures.js';
import { testGpu } from './gpu.js';

const { skip: noGpu, open } = await testGpu();
const gpu = noGpu ? null : await open();
after(() => gpu?.device.destroy());
const skip = noGpu || (gpu?.units ? false : 'this GPU has no matrix units');

// 3×3 filters of 48 and 96 channels: sums of up to 15 · 7 · 864, a quarter of which float16 holds.
const stages = [48, 96].map((width) => ({ width, blocks: 1 }));
const plan = randomPlan(buildResidualNetwork('wide', { block: 'basic', stages, stem: 'cifar' }, 10), 5, {
  method: tinyMethod('xbm', { rows: 72 }),
  batchSize: 6,
  imageSize: 12,
});

async function oneStep(precision: Precision) {
  const own = await open(precision);
  const state = initialTaskState(plan.graph, plan.backbone, plan.method, plan.optimizer, 0);
  const session = await WebGpuTrainingSession.open(own, plan, state);
  const { metrics } = await session.trainStep(tinyBatch(plan), { step: 0, learningRates });
  const { loss } = await metrics;
  const { moments, tensors } = await session.readState();
  await session.close();
  own.device.destroy();
  return { loss, moments, tensors };
}

const size = (values: Float32Array) =>
  Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);

/** Root mean square of differences, over that of the values or of a hundredth of the largest tensor's. */
function distance(found: Float32Array, expected: Float32Array, floor: number): number {
  return size(expected.map((value, i) => value - found[i])) / Math.max(size(expected), floor);
}

describe('a wide network on matrix units', { skip }, async () => {
  test('forward passes are the same, gradients to the bits that they are kept in', async () => {
    const [float32, products, mixed] = await Promise.all(
      (['float32', 'products', 'mixed'] as const).map((precision) => oneStep(precision)),
    );
    for (const [title, found, bound] of [
      ['32 bits in memory', products, 0.01],
      ['16 bits in memory', mixed, 0.05],
    ] as const) {
      assert.ok(Math.abs(found.loss - float32.loss) < 1e-4 * float32.loss, `${title}: ${found.loss}`);
      const first = Object.entries(float32.moments).filter(([name]) => name.endsWith('.m'));
      const floor = Math.max(...first.map(([, values]) => size(values))) / 100;
      for (const [name, values] of first) {
        const apart = distance(found.moments[name], values, floor);
        assert.ok(apart < bound, `${title}, ${name}: ${apart}`);
      }
      for (const [name, values] of Object.entries(float32.tensors)) {
        if (!name.includes('running')) continue;
        assert.ok(distance(found.tensors[name], values, 0) < 1e-4, `${title}, ${name}`);
      }
    }
  });
});
