/** @file What the onnx engine's sessions promise besides numbers. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createOnnxEngine, engineEntry } from '../../../src/engines/onnx/index.js';
import { UserError } from '../../../src/errors.js';
import { learningRates, tinyBatch, tinyMethod, tinyPlan, tinyState } from '../fixtures.js';

const plan = tinyPlan({ network: 'basic' });
const batch = tinyBatch(plan);

describe('onnx sessions', () => {
  test('any number of threads gives the same bits', async () => {
    const states = await Promise.all([1, 2, 3].map((threads) => trained(threads, 3)));
    assert.deepEqual(states[1], states[0]);
    assert.deepEqual(states[2], states[0]);
  });

  test('submitted steps finish before the state is read', async () => {
    const session = await createOnnxEngine({ threads: 1 }).openTraining(plan, tinyState(plan));
    const first = await session.trainStep(batch, { step: 0, learningRates });
    const second = await session.trainStep(batch, { step: 1, learningRates });
    const state = await session.readState();
    assert.equal(state.step, 2);
    await Promise.all([first.metrics, second.metrics]);
    await session.close();
  });

  test('the state read is a copy, and the state given stays as it was', async () => {
    const given = tinyState(plan);
    const kept = structuredClone(given);
    const session = await createOnnxEngine({ threads: 1 }).openTraining(plan, given);
    const before = await session.readState();
    await (await session.trainStep(batch, { step: 0, learningRates })).metrics;
    assert.deepEqual(given, kept);
    assert.deepEqual(before, kept);
    await session.close();
  });

  test('a batch of the wrong size is refused and leaves the session usable', async () => {
    const session = await createOnnxEngine({ threads: 1 }).openTraining(plan, tinyState(plan));
    const short = { pixels: batch.pixels.subarray(1), labels: batch.labels };
    await assert.rejects(session.trainStep(short, { step: 0, learningRates }), /pixel values, expected/);
    const { loss } = await (await session.trainStep(batch, { step: 0, learningRates })).metrics;
    assert.ok(Number.isFinite(loss));
    await session.close();
  });

  test('a closed session refuses calls', async () => {
    const session = await createOnnxEngine({ threads: 1 }).openTraining(plan, tinyState(plan));
    await session.close();
    await session.close();
    await assert.rejects(session.readState(), /closed/);
  });

  test('batch statistics of a single value per channel are refused', async () => {
    const single = { ...tinyPlan({ network: 'basic', batchSize: 1 }), imageSize: 2 };
    await assert.rejects(
      createOnnxEngine({ threads: 1 }).openTraining(single, tinyState(single)),
      (error) => error instanceof UserError && /batch/.test(error.message),
    );
  });

  test('the probe names the device without opening it', async () => {
    const status = await engineEntry.probe();
    assert.ok(status.available && /^ONNX Runtime \d+\.\d+\.\d+, CPU/.test(status.device));
  });
});

async function trained(threads: number, steps: number) {
  const big = tinyPlan({ network: 'bottleneck', method: tinyMethod('xbm', { noise: true }) });
  const session = await createOnnxEngine({ threads }).openTraining(big, tinyState(big));
  for (let step = 0; step < steps; step++) {
    await (await session.trainStep(tinyBatch(big, step), { step, learningRates })).metrics;
  }
  const state = await session.readState();
  await session.close();
  return state;
}
