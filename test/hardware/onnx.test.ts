import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { onnx as Onnx } from 'onnx-proto';
import { UserError } from '../../src/errors.js';
import { loadHardware } from '../../src/hardware/load.js';
import { mapNetwork } from '../../src/hardware/mapping.js';
import { crossbarNetwork } from '../../src/hardware/network.js';
import { readOnnxNetwork } from '../../src/hardware/onnx.js';
import { ratesOf } from '../../src/hardware/rates.js';
import { buildNetwork } from '../../src/model/networks.js';
import { uniform } from '../../src/random.js';
import { temporaryFolder } from '../runs/fixtures.js';
import { encode, fromLayerGraph, info, ints, node, weight } from './onnxModels.js';

function read(t: TestContext, bytes: Uint8Array, imageSize?: number) {
  const file = join(temporaryFolder(t), 'model.onnx');
  writeFileSync(file, bytes);
  return readOnnxNetwork(file, imageSize);
}

const image = info('x', ['N', 8, 16, 16]);
const model = (nodes: Onnx.INodeProto[], initializer: Onnx.ITensorProto[], input = [image]) =>
  encode({ node: nodes, initializer, input, output: [] });

test('ResNet-50 from ONNX maps as from its layer graph: 10,326 arrays, 1,870,134 activations', async (t) => {
  const graph = buildNetwork('resnet50', 1000);
  const network = await read(t, fromLayerGraph(graph, 224));
  const own = crossbarNetwork(graph, 224);
  assert.deepEqual(network.layers, own.layers);
  assert.equal(network.batchNormChannels, own.batchNormChannels);
  assert.equal(network.headFeatures, 2048);
  assert.equal(network.input, '3×224×224');
  const mapping = mapNetwork(network, ratesOf(loadHardware('nn-imc')));
  assert.deepEqual([mapping.arrays, mapping.activationsPerImage], [10_326, 1_870_134]);
});

test('grouped and depthwise convolutions: each group has a matrix of its own', async (t) => {
  const network = await read(
    t,
    model(
      [
        node('Conv', ['x', 'w1'], 'grouped', { group: 2, pads: [1, 1, 1, 1] }),
        node('Conv', ['grouped', 'w2'], 'depthwise', { group: 12, strides: [2, 2] }),
      ],
      [weight('w1', [12, 4, 3, 3]), weight('w2', [12, 1, 3, 3])],
    ),
  );
  const [grouped, depthwise] = network.layers;
  assert.deepEqual([grouped.rows, grouped.outputs, grouped.groups, grouped.positions], [36, 12, 2, 256]);
  assert.deepEqual([depthwise.rows, depthwise.groups, depthwise.positions], [9, 12, 7 * 7]);
  assert.deepEqual([grouped.first, depthwise.first], [true, false]);
  const mapping = mapNetwork(network, ratesOf(loadHardware('nn-imc')));
  assert.deepEqual(
    mapping.layers.map((layer) => layer.arrays),
    [2 * 2, 12 * 2],
  );
});

test('matrix products with constants on either side, tokens as positions, the last one is the head', async (t) => {
  const network = await read(
    t,
    model(
      [
        node('Reshape', ['x', 'shape'], 'tokens'),
        node('MatMul', ['tokens', 'right'], 'projected'),
        node('Relu', ['projected'], 'active'),
        node('ReduceMean', ['active'], 'pooled', { axes: [1], keepdims: 0 }),
        node('Gemm', ['pooled', 'last'], 'logits'),
      ],
      [ints('shape', [0, -1, 32]), weight('right', [32, 48]), weight('last', [48, 10])],
    ),
  );
  const [projection, head] = network.layers;
  assert.deepEqual(
    [projection.rows, projection.outputs, projection.positions, projection.head],
    [32, 48, 64, false],
  );
  assert.deepEqual([head.rows, head.outputs, head.positions, head.head], [48, 10, 1, true]);
  const left = await read(
    t,
    model(
      [node('Reshape', ['x', 's'], 'm'), node('MatMul', ['w', 'm'], 'y')],
      [ints('s', [128, 16]), weight('w', [7, 128])],
    ),
  );
  assert.deepEqual([left.layers[0].rows, left.layers[0].outputs, left.layers[0].positions], [128, 7, 16]);
});

test('a dense layer over tokens costs the same whether tokens lie in their own dimension or in the batch', async (t) => {
  const layers = async (images: number | string, ...shape: number[]) => {
    const nodes = [
      node('Conv', ['x', 'w1'], 'conv', { kernel_shape: [4, 4] }),
      node('Transpose', ['conv'], 'last', { perm: [0, 2, 3, 1] }),
      node('Reshape', ['last', 'shape'], 'tokens'),
      node(shape.length === 2 ? 'Gemm' : 'MatMul', ['tokens', 'w2'], 'dense'),
    ];
    const weights = [weight('w1', [64, 8, 4, 4]), ints('shape', shape), weight('w2', [64, 10])];
    const network = await read(t, model(nodes, weights, [info('x', [images, 8, 16, 16])]));
    return network.layers.map(({ rows, positions }) => [rows, positions]);
  };
  const own = [
    [128, 13 * 13],
    [64, 13 * 13],
  ];
  assert.deepEqual(await layers('N', 1, -1, 64), own);
  assert.deepEqual(await layers('N', -1, 64), own);
  assert.deepEqual(await layers(4, -1, 64), own, 'a fixed batch of 4');
  assert.deepEqual(await layers(4, 4, -1, 64), own, 'a fixed batch of 4, tokens apart');
});

test('a convolution over frames folded into the batch runs once per frame', async (t) => {
  const network = await read(
    t,
    model(
      [node('Reshape', ['x', 'shape'], 'frames'), node('Conv', ['frames', 'w'], 'conv')],
      [ints('shape', [-1, 2, 16, 16]), weight('w', [3, 2, 1, 1])],
    ),
  );
  assert.equal(network.layers[0].positions, 4 * 16 * 16);
});

test('weights behind constant nodes (a quantised export) are weights', async (t) => {
  const network = await read(
    t,
    model(
      [node('DequantizeLinear', ['q', 'scale'], 'w'), node('Conv', ['x', 'w'], 'conv')],
      [weight('q', [4, 8, 1, 1]), weight('scale', [])],
    ),
  );
  assert.equal(network.layers[0].rows, 8);
});

test('shapes computed from shapes, as exporters write them: Shape, Gather, Slice, Concat, Reshape', async (t) => {
  const network = await read(
    t,
    model(
      [
        node('Shape', ['x'], 'shape'),
        node('Gather', ['shape', 'channelAxis'], 'channels'),
        node('Slice', ['shape', 'zero', 'one', 'zero'], 'batch'),
        node('Mul', ['channels', 'pixels'], 'features'),
        node('Concat', ['batch', 'features'], 'flatShape', { axis: 0 }),
        node('Reshape', ['x', 'flatShape'], 'flat'),
        node('MatMul', ['flat', 'w'], 'logits'),
      ],
      [
        ints('channelAxis', [1]),
        ints('zero', [0]),
        ints('one', [1]),
        ints('pixels', [256]),
        weight('w', [2048, 10]),
      ],
    ),
  );
  const [layer] = network.layers;
  assert.deepEqual([layer.rows, layer.outputs, layer.positions, layer.first], [2048, 10, 1, true]);
});

test('slices of activations keep the shape exact', async (t) => {
  const network = await read(
    t,
    model(
      [node('Slice', ['x', 'starts', 'ends', 'axes', 'steps'], 'part'), node('Conv', ['part', 'w'], 'conv')],
      [
        ints('starts', [1, -9]),
        ints('ends', [99, 16]),
        ints('axes', [2, 3]),
        ints('steps', [1, 2]),
        weight('w', [4, 8, 1, 1]),
      ],
    ),
  );
  // Rows 1 … 15, columns 7, 9, 11, 13, 15.
  assert.equal(network.layers[0].positions, 15 * 5);
});

test('what cannot be mapped is an error that names the node', async (t) => {
  const cases: [Onnx.INodeProto[], Onnx.ITensorProto[], RegExp][] = [
    [
      [node('MatMul', ['x', 'x'], 'attention')],
      [],
      /cannot map node attention: it multiplies two activations/,
    ],
    [
      [node('ConvTranspose', ['x', 'w'], 'up')],
      [weight('w', [8, 4, 2, 2])],
      /cannot map node up: operator ConvTranspose/,
    ],
    [
      [node('Relu', ['x'], 'w'), node('Conv', ['x', 'w'], 'dynamic')],
      [],
      /cannot map node dynamic: its weights "w" are not constant/,
    ],
    [
      [node('Resize', ['x'], 'big'), node('Conv', ['big', 'w'], 'after')],
      [weight('w', [4, 8, 1, 1])],
      /cannot map node after: the shape of its output "after" is not known \(after node big, operator Resize\)/,
    ],
    [
      [node('Conv', ['x', 'w'], 'odd', { group: 3 })],
      [weight('w', [4, 8, 1, 1])],
      /4 outputs do not divide into 3 groups/,
    ],
    [[node('Relu', ['nowhere'], 'y')], [], /node y reads "nowhere", which no earlier node writes/],
    [[node('Relu', ['x'], 'y')], [], /no convolution and no matrix product/],
  ];
  for (const [nodes, weights, message] of cases)
    await assert.rejects(read(t, model(nodes, weights)), message);
});

test('a declared shape helps where inference ends; inputs must be static but for the batch', async (t) => {
  const resized = encode({
    node: [node('Resize', ['x'], 'big'), node('Conv', ['big', 'w'], 'conv')],
    initializer: [weight('w', [4, 8, 1, 1])],
    input: [image],
    output: [],
    valueInfo: [info('big', ['N', 8, 20, 20])],
  });
  assert.equal((await read(t, resized)).layers[0].positions, 400);
  const dynamic = model([node('Relu', ['x'], 'y')], [], [info('x', ['N', 3, 'H', 'W'])]);
  await assert.rejects(read(t, dynamic), /input "x" has no static shape/);
});

test('an open height and width take the size that is given; a fixed one does not give way', async (t) => {
  const open = model(
    [node('Conv', ['x', 'w'], 'conv', { strides: [2, 2] })],
    [weight('w', [4, 3, 1, 1])],
    [info('x', ['N', 3, 'H', 'W'])],
  );
  assert.equal((await read(t, open, 20)).layers[0].positions, 100);
  const fixed = model([node('Conv', ['x', 'w'], 'conv')], [weight('w', [4, 8, 1, 1])]);
  await assert.rejects(read(t, fixed, 20), /fixed at 16×16 pixels, not 20/);
});

test('100 mutated models: a UserError or a network, nothing else', async (t) => {
  const bytes = fromLayerGraph(buildNetwork('cifar-resnet8', 10), 32);
  for (let trial = 0; trial < 100; trial++) {
    const mutated = bytes.slice(
      0,
      trial % 3 === 0 ? Math.floor(uniform(trial, 0) * bytes.length) : bytes.length,
    );
    for (let i = 0; i < 3 && mutated.length > 0; i++) {
      mutated[Math.floor(uniform(trial, 1, i) * mutated.length)] = Math.floor(uniform(trial, 2, i) * 256);
    }
    try {
      const network = await read(t, mutated);
      mapNetwork(network, ratesOf(loadHardware('nn-imc')));
    } catch (error) {
      assert.ok(error instanceof UserError, `trial ${trial}: ${(error as Error).stack}`);
    }
  }
});
