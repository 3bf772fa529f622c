import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  applyMask,
  binarize,
  foldBackbone,
  foldTask,
  quantizeToGrid,
  roundHalfEven,
} from '../../src/adaption/fold.js';
import { type ConvWeights, dequantize } from '../../src/model/backbone.js';
import { layersOfKind } from '../../src/model/graph.js';
import { randomBackbone, tinyMethod, tinyNetwork, tinyPlan, tinyState } from '../engines/fixtures.js';

describe('binarize', () => {
  const sigmoid = { binarizer: 'sigmoid', threshold: 0.005 } as const;
  const identity = { binarizer: 'identity', threshold: 0.005 } as const;

  test('is the hard step of the sigmoid: soft ≥ 0.5', () => {
    const scores = Float32Array.from({ length: 401 }, (_, i) => (i - 200) / 1000);
    const soft = scores.map((score) => 1 / (1 + Math.exp(-12 * (score - Math.fround(0.005)))));
    assert.deepEqual(
      binarize(scores, sigmoid),
      Uint8Array.from(soft, (s) => Number(s >= 0.5)),
    );
  });

  test('at the threshold the sigmoid is on and the identity off', () => {
    const scores = Float32Array.of(0.005);
    assert.deepEqual(binarize(scores, sigmoid), Uint8Array.of(1));
    assert.deepEqual(binarize(scores, identity), Uint8Array.of(0));
  });
});

describe('applyMask', () => {
  test('switches off exactly the rows of the segments whose bit is 0, for any shape', () => {
    const shape = fc.record({
      outChannels: fc.integer({ min: 1, max: 5 }),
      filter: fc.integer({ min: 1, max: 40 }),
      rows: fc.integer({ min: 1, max: 45 }),
      seed: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
    });
    fc.assert(
      fc.property(shape, fc.boolean(), ({ outChannels, filter, rows, seed }, float) => {
        const perFilter = Math.ceil(filter / rows);
        const bits = Uint8Array.from({ length: outChannels * perFilter }, (_, i) => (seed >> (i % 31)) & 1);
        const numbers = Array.from({ length: outChannels * filter }, (_, i) => (i % 7) + 1);
        const weights: ConvWeights = float
          ? { kind: 'float', values: Float32Array.from(numbers) }
          : {
              kind: 'levels',
              levels: Int8Array.from(numbers),
              scales: new Float32Array(outChannels).fill(1),
              bits: 4,
            };
        const masked = dequantize(applyMask(weights, bits, outChannels, rows));
        numbers.forEach((number, i) => {
          const [channel, row] = [Math.floor(i / filter), i % filter];
          assert.equal(masked[i], bits[channel * perFilter + Math.floor(row / rows)] ? number : 0);
        });
        assert.deepEqual([...dequantize(weights)], numbers, 'the backbone is not written');
      }),
    );
  });
});

describe('quantizeToGrid', () => {
  const grid: ConvWeights = {
    kind: 'levels',
    levels: new Int8Array(8),
    scales: Float32Array.of(0.25, 0),
    bits: 4,
  };

  test('rounds to the nearest level of each output channel, ties to even, and clips at ±7', () => {
    const weights = Float32Array.of(0.125, 0.375, -1.7, 9, 1, -1, 0, 5);
    const quantized = quantizeToGrid(weights, grid);
    assert.ok(quantized.kind === 'levels');
    assert.deepEqual([...quantized.levels], [0, 2, -7, 7, 0, 0, 0, 0]);
    assert.equal(quantized.scales, grid.scales);
  });

  test('leaves every weight of a backbone on its level', () => {
    for (const weightBits of [2, 4, 8]) {
      const backbone = randomBackbone(tinyNetwork('bottleneck', 5), { weightBits });
      for (const weights of Object.values(backbone.convs)) {
        assert.deepEqual(quantizeToGrid(dequantize(weights), weights), weights);
      }
    }
  });

  test('full precision passes unchanged', () => {
    const weights = Float32Array.of(0.1, -3);
    const float = quantizeToGrid(weights, { kind: 'float', values: new Float32Array(2) });
    assert.deepEqual(float, { kind: 'float', values: weights });
  });
});

test('roundHalfEven', () => {
  const cases = [
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [-0.5, 0],
    [-1.5, -2],
    [-2.5, -2],
    [0.49999997, 0],
    [-0.50000006, -1],
    [6.999, 7],
    [3, 3],
  ];
  for (const [x, expected] of cases) assert.equal(roundHalfEven(x) + 0, expected, `${x}`);
});

describe('foldTask', () => {
  test('masks, trained weights and frozen weights each come from the right place', () => {
    for (const name of ['xbm', 'finetune', 'classifier'] as const) {
      const { graph, backbone, method } = tinyPlan({ method: tinyMethod(name) });
      const { tensors } = tinyState(tinyPlan({ method }));
      const allOff = Object.fromEntries(
        layersOfKind(graph, 'conv').map((conv) => [
          conv.name,
          new Uint8Array(tensors[`${conv.name}.scores`]?.length),
        ]),
      );
      const { convs, ...rest } = foldTask(graph, backbone, method, allOff, tensors);
      assert.equal(rest.tensors['fc.weight'], tensors['fc.weight']);
      assert.equal(rest.clips, backbone.clips);
      for (const conv of layersOfKind(graph, 'conv')) {
        const frozen = backbone.convs[conv.name];
        if (name === 'xbm') assert.ok(dequantize(convs[conv.name]).every((weight) => weight === 0));
        if (name === 'classifier') assert.equal(convs[conv.name], frozen);
        if (name === 'finetune') {
          assert.deepEqual(convs[conv.name], quantizeToGrid(tensors[`${conv.name}.weight`], frozen));
          if (conv.name === 'conv1') assert.notDeepEqual(convs.conv1, frozen);
        }
      }
    }
  });

  test('foldBackbone carries the pretrained head', () => {
    const backbone = randomBackbone(tinyNetwork('basic', 7));
    const { tensors, graph } = foldBackbone(backbone);
    assert.equal(tensors['fc.weight'], backbone.head.weight);
    assert.equal(tensors['bn1.running_var'], backbone.batchNorms['bn1.running_var']);
    assert.equal(graph, backbone.graph);
  });
});
