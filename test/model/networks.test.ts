import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maskBits, weightCount } from '../../src/adaption/geometry.js';
import { UserError } from '../../src/errors.js';
import { headOf, layerShapes, layersOfKind, withClasses } from '../../src/model/graph.js';
import { buildNetwork, naturalImageSize, networkNames } from '../../src/model/networks.js';

const convolutions = (network: string) => layersOfKind(buildNetwork(network, 1000), 'conv');
const convWeights = (network: string) =>
  convolutions(network).reduce((sum, conv) => sum + weightCount(conv), 0);
const column = { granularity: 'column', rows: 72 } as const;

test('ResNet-50 has the published counts', () => {
  // XBM slides: 53 convolutions, 23 M weights, 40 KB of masks; exact numbers in ../shared/reference/xbm.md.
  assert.equal(convolutions('resnet50').length, 53);
  assert.equal(convWeights('resnet50'), 23_454_912);
  const bits = maskBits(buildNetwork('resnet50', 1000), column);
  assert.equal(bits, 339_968);
  assert.equal(bits / 8, 42_496);
});

test('parameters of all networks match torchvision', () => {
  // Weight counts of torchvision.models: parameters of the whole network.
  const published = {
    resnet18: 11_689_512,
    resnet34: 21_797_672,
    resnet50: 25_557_032,
    resnet101: 44_549_160,
  };
  for (const [network, parameters] of Object.entries(published)) {
    const graph = buildNetwork(network, 1000);
    const norms = layersOfKind(graph, 'batchNorm').reduce((sum, norm) => sum + 2 * norm.channels, 0);
    const head = headOf(graph);
    assert.equal(
      convWeights(network) + norms + (head.inFeatures + 1) * head.outFeatures,
      parameters,
      network,
    );
  }
});

test('the first convolution alone has no activation quantiser', () => {
  for (const network of networkNames) {
    const graph = buildNetwork(network, 10);
    const kinds = new Map(graph.layers.map((layer) => [layer.name, layer.kind]));
    for (const conv of layersOfKind(graph, 'conv'))
      assert.equal(kinds.get(conv.inputs[0]), conv.name === 'conv1' ? undefined : 'quantize', conv.name);
  }
});

test('layers are in topological order with unique names, and shapes follow', () => {
  for (const network of networkNames) {
    const graph = buildNetwork(network, 10);
    const seen = new Set(['input']);
    for (const layer of graph.layers) {
      for (const input of layer.inputs) assert.ok(seen.has(input), `${layer.name} reads ${input}`);
      assert.ok(!seen.has(layer.name));
      seen.add(layer.name);
    }
  }
  const shapes = layerShapes(buildNetwork('resnet50', 10), 224);
  assert.deepEqual(shapes.get('maxpool'), { channels: 64, height: 56, width: 56 });
  assert.deepEqual(shapes.get('layer4.2.relu'), { channels: 2048, height: 7, width: 7 });
  assert.deepEqual(shapes.get('fc'), { channels: 10, height: 1, width: 1 });
});

test('classes and unknown names', () => {
  assert.equal(headOf(withClasses(buildNetwork('resnet18', 1000), 3)).outFeatures, 3);
  assert.throws(() => buildNetwork('resnet51', 10), UserError);
});

test('the size of its images goes with the network', () => {
  const sizes = ['resnet50', 'cifar-resnet20', 'unknown'].map(naturalImageSize);
  assert.deepEqual(sizes, [224, 32, 224]);
});
