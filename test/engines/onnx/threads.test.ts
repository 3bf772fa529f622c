/** @file A training step of a real network gives the same bits on one thread and on two. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialTaskState, type TaskState } from '../../../src/adaption/parameters.js';
import type { TrainingPlan } from '../../../src/engines/engine.js';
import { createOnnxEngine } from '../../../src/engines/onnx/index.js';
import { withClasses } from '../../../src/model/graph.js';
import { buildNetwork } from '../../../src/model/networks.js';
import { adam, learningRates, randomBackbone, tinyBatch, tinyMethod } from '../fixtures.js';

test('ResNet-18, 102 classes: the number of threads changes no bit of the state', async () => {
  const backbone = randomBackbone(buildNetwork('resnet18', 102));
  const graph = withClasses(backbone.graph, 102);
  const method = tinyMethod('xbm', { rows: 72 });
  const plan: TrainingPlan = {
    graph,
    backbone,
    method,
    optimizer: adam,
    batchSize: 4,
    imageSize: 64,
    seed: 0,
  };
  assert.deepEqual(await stateAfterOneStep(plan, 2), await stateAfterOneStep(plan, 1));
});

async function stateAfterOneStep(plan: TrainingPlan, threads: number): Promise<TaskState> {
  const state = initialTaskState(plan.graph, plan.backbone, plan.method, adam, 0);
  const session = await createOnnxEngine({ threads }).openTraining(plan, state);
  await session.trainStep(tinyBatch(plan), { step: 0, learningRates });
  const after = await session.readState();
  await session.close();
  return after;
}
