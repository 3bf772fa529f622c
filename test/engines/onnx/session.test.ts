/** @file What the onnx engine's sessions promise besides numbers. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createOnnxEngine, engineEntry } from '../../../src/engines/onnx/index.js';
import { UserError } from '../../../src/errors.js';
import { learningRates, tinyBatch, tinyMethod, tinyPlan, tinyState } from '../fixtures.js';
import { sessionsKeepPromises } from '../sessionPromises.js';

const plan = tinyPlan({ network: 'basic' });

describe('onnx sessions', () => {
  // From four threads on ONNX Runtime gives other last bits here.
  sessionsKeepPromises((threads) => createOnnxEngine({ threads }), [1, 2, 3]);

  test('any number of threads gives the same bits', async () => {
    const states = await Promise.all([1, 2, 3].map((threads) => trained(threads, 3)));
    assert.deepEqual(states[1], states[0]);
    assert.deepEqual(states[2], states[0]);
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
