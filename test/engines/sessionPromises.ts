/** @file What training sessions promise besides numbers, whichever engine on the CPU opens them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialTaskState, type TaskState } from '../../src/adaption/parameters.js';
import type { Engine, TrainingPlan } from '../../src/engines/engine.js';
import { buildNetwork } from '../../src/model/networks.js';
import { learningRates, randomPlan, tinyBatch, tinyMethod, tinyPlan, tinyState } from './fixtures.js';

const plan = tinyPlan({ network: 'basic' });
const batch = tinyBatch(plan);

/**
 * Declares the tests.
 * @param open the engine on so many threads
 * @param threadCounts that must give the same bits
 */
export function sessionsKeepPromises(
  open: (threads: number) => Engine,
  threadCounts: readonly number[],
): void {
  test('submitted steps finish before the state is read', async () => {
    const session = await open(1).openTraining(plan, tinyState(plan));
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
    const session = await open(1).openTraining(plan, given);
    const before = await session.readState();
    await (await session.trainStep(batch, { step: 0, learningRates })).metrics;
    assert.deepEqual(given, kept);
    assert.deepEqual(before, kept);
    await session.close();
  });

  test('a batch of the wrong size is refused and leaves the session usable', async () => {
    const session = await open(1).openTraining(plan, tinyState(plan));
    const short = { pixels: batch.pixels.subarray(1), labels: batch.labels };
    await assert.rejects(session.trainStep(short, { step: 0, learningRates }), /pixel values, expected/);
    const { loss } = await (await session.trainStep(batch, { step: 0, learningRates })).metrics;
    assert.ok(Number.isFinite(loss));
    await session.close();
  });

  test(`ResNet-18, 102 classes: ${threadCounts.join(', ')} threads change no bit of the state`, async () => {
    const method = tinyMethod('xbm', { rows: 72 });
    const real = randomPlan(buildNetwork('resnet18', 102), 102, { method, batchSize: 4, imageSize: 64 });
    const [first, ...rest] = threadCounts;
    const expected = await stateAfter(open(first), real, 2);
    for (const threads of rest) assert.deepEqual(await stateAfter(open(threads), real, 2), expected);
  });
}

async function stateAfter(engine: Engine, plan: TrainingPlan, steps: number): Promise<TaskState> {
  const initial = initialTaskState(plan.graph, plan.backbone, plan.method, plan.optimizer, 0);
  const session = await engine.openTraining(plan, initial);
  for (let step = 0; step < steps; step++)
    await (await session.trainStep(tinyBatch(plan), { step, learningRates })).metrics;
  const state = await session.readState();
  await session.close();
  return state;
}
