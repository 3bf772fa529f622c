import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Gpu } from '../../../src/engines/webgpu/device.js';
import { WebGpuTrainingSession } from '../../../src/engines/webgpu/trainingSession.js';
import { ExitCode, UserError } from '../../../src/errors.js';
import { learningRates, tinyBatch, tinyMethod, tinyPlan, tinyState } from '../fixtures.js';
import { testGpu } from './gpu.js';

const { skip, open } = await testGpu();
const gpu = skip ? null : await open();
after(() => gpu?.device.destroy());

const plan = tinyPlan({ network: 'basic' });
const state = tinyState(plan);
const batch = tinyBatch(plan);

describe('a training session on the GPU', { skip }, () => {
  if (!gpu) return;

  test('a batch that no buffer holds is refused before anything is allocated, with what and how much', async () => {
    const tooLarge = { ...plan, batchSize: 2 ** 24 };
    await assert.rejects(WebGpuTrainingSession.open(gpu, tooLarge, state), (error: UserError) => {
      assert.match(error.message, /too large for this GPU: .* takes \d+ MiB, and the GPU allows \d+ MiB/);
      assert.match(error.hint!, /training\.batchSize/);
      assert.equal(error.exitCode, ExitCode.unavailable);
      return true;
    });
  });

  test('a profile names every kind of kernel, and gives operations to products only', async (t) => {
    if (!gpu.canTime) return t.skip('this GPU has no time stamps');
    const session = await WebGpuTrainingSession.open(gpu, plan, state);
    const { metrics } = await session.trainStep(batch, { step: 0, learningRates });
    await metrics;
    const uses = await session.profile();
    await session.close();
    const flop = Object.fromEntries(uses.map((use) => [use.label, use.flop]));
    // One product of the head more in each direction than there are convolutions with an input gradient.
    assert.equal(flop.convolution, flop['weight gradient']);
    assert.ok(flop['input gradient'] > 0 && flop['input gradient'] < flop.convolution);
    assert.equal(flop.update, 0);
    assert.ok(uses.every(({ microseconds, bytes }) => microseconds >= 0 && bytes > 0));
  });

  for (const [method, name] of [
    ['xbm', 'layer1.0.bn1.weight'],
    ['xbm', 'layer2.0.bn2.bias'],
    ['finetune', 'layer1.0.conv1.weight'],
    ['xbm', 'fc.weight'],
  ] as const) {
    test(`${method}: a value that is not finite in ${name} makes the loss no number, of that state alone`, async () => {
      const own = tinyPlan({ network: 'basic', method: tinyMethod(method) });
      const diverged = tinyState(own);
      diverged.tensors[name][0] = Number.NaN;
      assert.ok(!Number.isFinite(await lossOf(own, diverged)));
      assert.ok(Number.isFinite(await lossOf(own, tinyState(own))));
    });
  }

  test('the same steps end in the same bits', async () => {
    const after = async () => {
      const session = await WebGpuTrainingSession.open(gpu, plan, state);
      for (let step = 0; step < 3; step++)
        await (await session.trainStep(batch, { step, learningRates })).metrics;
      const end = await session.readState();
      await session.close();
      return end;
    };
    assert.deepEqual(await after(), await after());
  });

  async function lossOf(own: typeof plan, given: typeof state): Promise<number> {
    const session = await WebGpuTrainingSession.open(gpu!, own, given);
    const { metrics } = await session.trainStep(batch, { step: 0, learningRates });
    const { loss } = await metrics;
    await session.close();
    return loss;
  }

  test('once the GPU reports an error no further step runs: its results could not be trusted', async () => {
    const own = await open();
    const session = await WebGpuTrainingSession.open(own, plan, state);
    provokeError(own);
    const step = async () => (await session.trainStep(batch, { step: 0, learningRates })).metrics;
    // The error arrives a moment later: with this step or the next.
    await assert.rejects(
      async () => {
        await step();
        await new Promise((resolve) => setTimeout(resolve, 50));
        await step();
      },
      (error: UserError) => {
        assert.ok(error instanceof UserError);
        assert.match(error.message, /the GPU reports: /);
        assert.match(error.hint!, /--resume/);
        return true;
      },
    );
    own.device.destroy();
  });
});

/** A buffer that can be mapped for reading cannot be a storage buffer. */
function provokeError({ device }: Gpu): void {
  device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
}
