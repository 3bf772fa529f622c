import assert from 'node:assert/strict';
import { test } from 'node:test';
import { experimentSchema } from '../../src/config/schema.js';
import { methodSpec, optimizerSpec, scheduleOf, trainingPlan } from '../../src/training/plan.js';
import { tinyBackbone } from './doubles.js';

const experiment = (method: object, training: object = {}) =>
  experimentSchema.parse({ task: 'folder', method, training });

test('each method masks and trains what it should', () => {
  const mask = { rows: 72, threshold: 0.005, slope: 12, noise: false, initialScore: 0.01 };
  assert.deepEqual(methodSpec(experiment({ name: 'xbm' })), {
    name: 'xbm',
    mask: { ...mask, granularity: 'column', binarizer: 'sigmoid' },
    trainWeights: false,
    trainBatchNorm: true,
  });
  assert.deepEqual(methodSpec(experiment({ name: 'piggyback', trainBatchNorm: false })), {
    name: 'piggyback',
    mask: { ...mask, granularity: 'element', binarizer: 'identity' },
    trainWeights: false,
    trainBatchNorm: false,
  });
  assert.deepEqual(methodSpec(experiment({ name: 'finetune' })), {
    name: 'finetune',
    mask: null,
    trainWeights: true,
    trainBatchNorm: true,
  });
  assert.deepEqual(methodSpec(experiment({ name: 'classifier' })), {
    name: 'classifier',
    mask: null,
    trainWeights: false,
    trainBatchNorm: false,
  });
});

test('settings of the mask reach the method', () => {
  const { mask } = methodSpec(
    experiment({
      name: 'xbm',
      granularity: 'kernel',
      rows: 36,
      threshold: 0.1,
      initialScore: 0.2,
      slope: 3,
      noise: true,
    }),
  );
  assert.deepEqual(mask, {
    granularity: 'kernel',
    rows: 36,
    binarizer: 'sigmoid',
    threshold: 0.1,
    slope: 3,
    noise: true,
    initialScore: 0.2,
  });
});

test('optimiser and schedule follow the experiment', () => {
  const { training } = experiment(
    {},
    { optimizer: 'sgd', momentum: 0.8, weightDecay: 1e-4, schedule: 'step', stepEpochs: 7 },
  );
  assert.deepEqual(optimizerSpec(training), { kind: 'sgd', momentum: 0.8, weightDecay: 1e-4 });
  assert.deepEqual(scheduleOf(training), { kind: 'step', epochs: 7, factor: 0.1 });
  assert.deepEqual(optimizerSpec(experiment({}).training), {
    kind: 'adam',
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
  });
  assert.deepEqual(scheduleOf(experiment({}).training), { kind: 'cosine' });
});

test('the plan has the head of the task', () => {
  const plan = trainingPlan(experiment({}, { batchSize: 5, imageSize: 16, seed: 9 }), tinyBackbone(), 7);
  const head = plan.graph.layers.at(-1);
  assert.equal(head?.kind === 'linear' && head.outFeatures, 7);
  assert.deepEqual([plan.batchSize, plan.imageSize, plan.seed], [5, 16, 9]);
});
