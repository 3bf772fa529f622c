import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { maskBits } from '../../src/adaption/geometry.js';
import { initialTaskState, momentNames, taskTensors } from '../../src/adaption/parameters.js';
import { dequantize } from '../../src/model/backbone.js';
import { withClasses } from '../../src/model/graph.js';
import { buildNetwork } from '../../src/model/networks.js';
import { adam, plainSgd, randomBackbone, tinyMethod, tinyNetwork } from '../engines/fixtures.js';

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

describe('taskTensors', () => {
  const graph = tinyNetwork('basic', 5);

  test('xbm: scores, batch norm, head in graph order', () => {
    const specs = taskTensors(graph, tinyMethod('xbm'));
    assert.deepEqual(specs.slice(0, 6), [
      { name: 'conv1.scores', shape: [4, 4], group: 'masks', role: 'trained' }, // 27 rows in segments of 8
      { name: 'bn1.weight', shape: [4], group: 'batchNorm', role: 'trained' },
      { name: 'bn1.bias', shape: [4], group: 'batchNorm', role: 'trained' },
      { name: 'bn1.running_mean', shape: [4], group: 'batchNorm', role: 'statistic' },
      { name: 'bn1.running_var', shape: [4], group: 'batchNorm', role: 'statistic' },
      { name: 'layer1.0.conv1.scores', shape: [4, 5], group: 'masks', role: 'trained' },
    ]);
    assert.deepEqual(specs.slice(-2), [
      { name: 'fc.weight', shape: [5, 6], group: 'head', role: 'trained' },
      { name: 'fc.bias', shape: [5], group: 'head', role: 'trained' },
    ]);
    assert.equal(new Set(specs.map(({ name }) => name)).size, specs.length);
  });

  test('finetune trains weights in [outC, inC, k, k], classifier the head alone', () => {
    const finetune = taskTensors(graph, tinyMethod('finetune'));
    const expected = { name: 'conv1.weight', shape: [4, 3, 3, 3], group: 'weights', role: 'trained' };
    assert.deepEqual(finetune[0], expected);
    assert.equal(
      finetune.some(({ group }) => group === 'masks'),
      false,
    );
    const classifier = taskTensors(graph, tinyMethod('classifier'));
    const trained = classifier.filter(({ role }) => role === 'trained').map(({ name }) => name);
    assert.deepEqual(trained, ['fc.weight', 'fc.bias']);
    assert.equal(
      classifier.some(({ role }) => role === 'statistic'),
      false,
    );
  });

  test('ResNet-50: one score per mask bit', () => {
    const resnet50 = buildNetwork('resnet50', 102);
    const method = tinyMethod('xbm', { rows: 72 });
    const scores = taskTensors(resnet50, method).filter(({ group }) => group === 'masks');
    assert.equal(scores.length, 53);
    assert.equal(
      scores.reduce((sum, { shape }) => sum + size(shape), 0),
      maskBits(resnet50, method.mask!),
    );
  });
});

describe('initialTaskState', () => {
  const backbone = randomBackbone(tinyNetwork('basic', 10));
  const graph = withClasses(backbone.graph, 500);

  for (const name of ['xbm', 'piggyback', 'finetune', 'classifier'] as const) {
    test(`${name}: every tensor has its size, trained ones zero moments`, () => {
      const method = tinyMethod(name);
      for (const optimizer of [adam, plainSgd]) {
        const state = initialTaskState(graph, backbone, method, optimizer, 1);
        const specs = taskTensors(graph, method);
        assert.deepEqual(
          Object.keys(state.tensors),
          specs.map((spec) => spec.name),
        );
        const trained = specs.filter(({ role }) => role === 'trained');
        assert.deepEqual(
          Object.keys(state.moments),
          trained.flatMap((spec) => momentNames(spec.name, optimizer.kind)),
        );
        for (const { name, shape } of specs) assert.equal(state.tensors[name].length, size(shape), name);
        assert.ok(Object.values(state.moments).every((moment) => moment.every((value) => value === 0)));
      }
    });
  }

  test('scores start on; weights and batch norm are copies of the backbone', () => {
    const xbm = initialTaskState(graph, backbone, tinyMethod('xbm'), adam, 1);
    assert.ok(xbm.tensors['conv1.scores'].every((score) => score === Math.fround(0.01)));
    const finetune = initialTaskState(graph, backbone, tinyMethod('finetune'), adam, 1);
    assert.deepEqual(finetune.tensors['conv1.weight'], dequantize(backbone.convs.conv1));
    assert.deepEqual(finetune.tensors['bn1.running_var'], backbone.batchNorms['bn1.running_var']);
    finetune.tensors['bn1.running_var'][0] = -1;
    assert.notEqual(backbone.batchNorms['bn1.running_var'][0], -1);
  });

  test('the head is uniform in ±1/√features and a function of the seed', () => {
    const head = (seed: number) =>
      initialTaskState(graph, backbone, tinyMethod('classifier'), adam, seed).tensors['fc.weight'];
    const bound = 1 / Math.sqrt(6);
    const weight = head(1); // 3,000 values
    assert.deepEqual(weight, head(1));
    assert.notDeepEqual(weight, head(2));
    assert.ok(weight.every((value) => Math.abs(value) <= bound));
    const variance = weight.reduce((sum, value) => sum + value ** 2, 0) / weight.length;
    assert.ok(Math.abs(variance / (bound ** 2 / 3) - 1) < 0.07, `variance ${variance}`);
  });
});
