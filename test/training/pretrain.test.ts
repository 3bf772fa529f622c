import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foldBackbone } from '../../src/adaption/fold.js';
import { initialTaskState } from '../../src/adaption/parameters.js';
import { foldIntoBackbone, taskFromState } from '../../src/adaption/task.js';
import { loadExperiment } from '../../src/config/load.js';
import { layersOfKind } from '../../src/model/graph.js';
import { buildNetwork } from '../../src/model/networks.js';
import { methodSpec, optimizerSpec } from '../../src/training/plan.js';
import { backboneFromTask, pretrainingExperiment } from '../../src/training/pretrain.js';
import { randomBackbone } from '../../src/training/randomBackbone.js';

const graph = buildNetwork('cifar-resnet20', 10);

test('convolutions start Kaiming-normal with fan-out, a function of the seed', () => {
  const { convs, batchNorms } = randomBackbone(graph, 1);
  for (const { name, outChannels, kernel } of layersOfKind(graph, 'conv')) {
    const weights = convs[name];
    assert.ok(weights.kind === 'float');
    const { values } = weights;
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
    const variance = values.reduce((sum, v) => sum + v * v, 0) / values.length;
    const expected = 2 / (outChannels * kernel * kernel);
    const error = 6 / Math.sqrt(values.length);
    assert.ok(Math.abs(mean) < error * Math.sqrt(expected), `${name} mean ${mean}`);
    assert.ok(
      Math.abs(variance / expected - 1) < error * Math.SQRT2,
      `${name} variance ${variance / expected}`,
    );
  }
  assert.ok(batchNorms['bn1.weight'].every((v) => v === 1));
  assert.equal(randomBackbone(graph, 1).sha256, randomBackbone(graph, 1).sha256);
  assert.notEqual(randomBackbone(graph, 1).sha256, randomBackbone(graph, 2).sha256);
});

test('the packaged config pretrains; quantisation does not change the run', () => {
  const experiment = loadExperiment({ config: 'pretrain' });
  const other = loadExperiment({ config: 'pretrain', overrides: ['backbone.weightBits=8'] });
  assert.deepEqual(pretrainingExperiment(experiment), pretrainingExperiment(other));
  assert.equal(pretrainingExperiment(experiment).backbone.activationBits, 32);
  const xbm = loadExperiment({ config: 'folder-xbm' });
  assert.throws(() => pretrainingExperiment(xbm), /method.name must be finetune/);
});

test('the backbone of a trained task computes what the task computes', () => {
  const experiment = loadExperiment({ config: 'pretrain' });
  const start = randomBackbone(graph, 1);
  const method = methodSpec(experiment);
  const state = initialTaskState(graph, start, method, optimizerSpec(experiment.training), 1);
  for (const values of Object.values(state.tensors))
    for (let i = 0; i < values.length; i++) values[i] += 0.01 * (i % 3);
  const task = taskFromState(state, start, {
    method,
    classes: Array.from({ length: 10 }, (_, i) => `class ${i}`),
    imageSize: 32,
    backboneSha256: start.sha256,
    configHash: '',
    programVersion: '',
  });
  const trained = backboneFromTask(task, start);
  assert.deepEqual(foldBackbone(trained), foldIntoBackbone(task, start));
  assert.deepEqual(trained.classes, task.classes);
  assert.notEqual(trained.sha256, start.sha256);
});
