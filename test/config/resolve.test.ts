import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contradictions, idleKeys, resolveMethod } from '../../src/config/resolve.js';
import { type Experiment, experimentSchema } from '../../src/config/schema.js';

function resolved(method: object): Experiment {
  return resolveMethod(experimentSchema.parse({ task: 'cubs', method }));
}

test('each method brings its own granularity, binariser and batch norm', () => {
  const own = (name: string): unknown[] => {
    const { granularity, binarizer, trainBatchNorm } = resolved({ name }).method;
    return [granularity, binarizer, trainBatchNorm];
  };
  assert.deepEqual(own('xbm'), ['column', 'sigmoid', true]);
  assert.deepEqual(own('piggyback'), ['element', 'identity', true]);
  assert.deepEqual(own('finetune'), [null, null, true]);
  assert.deepEqual(own('classifier'), [null, null, false]);
});

test('what is set explicitly stays', () => {
  const { method } = resolved({
    name: 'piggyback',
    granularity: 'kernel',
    binarizer: 'sigmoid',
    trainBatchNorm: false,
  });
  assert.deepEqual(
    [method.granularity, method.binarizer, method.trainBatchNorm],
    ['kernel', 'sigmoid', false],
  );
  assert.deepEqual(resolveMethod(resolved({ name: 'xbm' })), resolved({ name: 'xbm' }));
});

test('settings that go together raise no objection', () => {
  for (const method of [
    { name: 'xbm', granularity: 'element', rows: 16 },
    { name: 'xbm', noise: true },
    { name: 'piggyback', binarizer: 'sigmoid', noise: true },
    { name: 'finetune', rows: 16 },
  ]) {
    assert.deepEqual(contradictions(resolved(method)), []);
  }
});

test('every contradiction is found', () => {
  const paths = (method: object): string[] =>
    contradictions(resolved(method)).map((problem) => problem.path.join('.'));
  assert.deepEqual(paths({ name: 'xbm', binarizer: 'identity', noise: true, initialScore: 0 }), [
    'method.noise',
    'method.initialScore',
  ]);
  assert.deepEqual(paths({ name: 'classifier', granularity: 'column', binarizer: 'sigmoid', noise: true }), [
    'method.granularity',
    'method.binarizer',
    'method.noise',
  ]);
});

test('what an experiment does not read is known by key', () => {
  const idle = (changes: object) =>
    [...idleKeys(experimentSchema.parse({ task: 'folder', ...changes })).keys()].sort();
  const drops = ['training.stepEpochs', 'training.stepFactor'];
  const scores = ['initialScore', 'rows', 'slope', 'threshold'].map((key) => `method.${key}`);
  assert.deepEqual(idle({ method: { name: 'xbm' } }), [
    'training.learningRate.weights',
    'training.momentum',
    ...drops,
  ]);
  assert.deepEqual(
    idle({ method: { name: 'piggyback' }, training: { optimizer: 'sgd', schedule: 'step' } }),
    ['method.rows', 'method.slope', 'training.learningRate.weights'],
  );
  assert.deepEqual(idle({ method: { name: 'finetune' }, training: { optimizer: 'sgd' } }), [
    ...scores,
    'training.learningRate.masks',
    ...drops,
  ]);
  assert.deepEqual(idle({ task: 'cars', method: { name: 'classifier' } }), [
    'data.trainPercent',
    ...scores,
    'training.learningRate.batchNorm',
    'training.learningRate.masks',
    'training.learningRate.weights',
    'training.momentum',
    ...drops,
  ]);
});
