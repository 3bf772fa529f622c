import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  feedsBatchNormOnly,
  fuseGraph,
  groupAfter,
  layersOfNode,
  type PointwiseGroup,
  readsLevels,
} from '../../../src/engines/compiled/fusion.js';
import { layersOfKind } from '../../../src/model/graph.js';
import { buildNetwork, networkNames } from '../../../src/model/networks.js';

const groupOf = (network: string, member: string, bits = 4): PointwiseGroup => {
  const { nodes } = fuseGraph(buildNetwork(network, 10), bits);
  return nodes
    .filter((node) => node.kind === 'group')
    .find(({ members }) => members.some(({ name }) => name === member))!;
};
const names = ({ members }: PointwiseGroup) => members.map(({ name }) => name);

describe('fuseGraph', () => {
  for (const network of networkNames) {
    for (const bits of [4, 32]) {
      test(`${network}, ${bits} bits: every layer once, each after what it reads`, () => {
        const graph = buildNetwork(network, 10);
        const { nodes, aliases } = fuseGraph(graph, bits);
        const computed = new Set(['input']);
        for (const node of nodes) {
          const inputs = node.kind === 'group' ? node.inputs : node.inputs;
          for (const input of inputs)
            assert.ok(computed.has(input), `${input} is read before it is computed`);
          for (const { name } of layersOfNode(node)) computed.add(name);
        }
        const expected = graph.layers.map(({ name }) => name).filter((name) => !aliases.has(name));
        assert.deepEqual([...computed].sort(), ['input', ...expected].sort());
        assert.equal(nodes.flatMap(layersOfNode).length, expected.length);
        assert.equal(aliases.size, bits === 32 ? layersOfKind(graph, 'quantize').length : 0);
      });
    }
  }

  test('every group that begins with a batch norm follows one convolution, the last that it reads', () => {
    for (const network of networkNames) {
      const fused = fuseGraph(buildNetwork(network, 10), 4);
      const convs = layersOfKind(buildNetwork(network, 10), 'conv');
      const after = new Map(convs.map((conv) => [conv.name, groupAfter(fused, conv)]));
      const groups = [...after.values()].filter((group) => group !== null);
      assert.equal(new Set(groups).size, groups.length, network);
      const beginning = fused.nodes.filter(
        (node) => node.kind === 'group' && node.members.some(({ kind }) => kind === 'batchNorm'),
      );
      assert.deepEqual(new Set(groups), new Set(beginning), network);
    }
    const resnet = fuseGraph(buildNetwork('resnet50', 10), 4);
    const [before, last] = ['layer1.0.conv3', 'layer1.0.downsample.0'].map((name) =>
      groupAfter(
        resnet,
        layersOfKind(buildNetwork('resnet50', 10), 'conv').find((conv) => conv.name === name)!,
      ),
    );
    assert.equal(before, null);
    assert.ok(last && names(last).includes('layer1.0.add'));
  });

  test('batch norm, ReLU and quantiser become one kernel that writes only the levels', () => {
    const group = groupOf('resnet50', 'layer1.0.bn1');
    assert.deepEqual(names(group), ['layer1.0.bn1', 'layer1.0.relu1', 'layer1.0.relu1.quant']);
    assert.deepEqual(group.inputs, ['layer1.0.conv1']);
    assert.deepEqual(group.outputs, ['layer1.0.relu1.quant']);
  });

  test("a block's end, with the projection's batch norm and the next block's quantiser, is one kernel", () => {
    const group = groupOf('resnet50', 'layer1.0.add');
    assert.deepEqual(names(group), [
      'layer1.0.bn3',
      'layer1.0.downsample.1',
      'layer1.0.add',
      'layer1.0.relu',
      'layer1.0.relu.quant',
    ]);
    assert.deepEqual(group.inputs, ['layer1.0.conv3', 'layer1.0.downsample.0']);
    assert.deepEqual(group.outputs, ['layer1.0.relu', 'layer1.0.relu.quant']);
  });

  test('an identity shortcut is read from memory: its group feeds convolutions', () => {
    const group = groupOf('resnet50', 'layer1.1.add');
    assert.deepEqual(group.inputs, ['layer1.1.conv3', 'layer1.0.relu']);
  });

  test('a tapped layer is written although nothing outside its group reads it', () => {
    const { nodes } = fuseGraph(buildNetwork('resnet18', 10), 4, ['layer1.0.bn1']);
    const outputs = nodes.filter((node) => node.kind === 'group').flatMap((group) => group.outputs);
    assert.ok(outputs.includes('layer1.0.bn1'));
    assert.ok(!outputs.includes('layer1.1.bn1'));
  });
});

test('all convolutions but the first read levels at 4 bits, none in full precision', () => {
  const graph = buildNetwork('resnet50', 10);
  const reading = (bits: number) => {
    const fused = fuseGraph(graph, bits);
    return layersOfKind(graph, 'conv').filter((conv) => readsLevels(fused, conv)).length;
  };
  assert.equal(reading(4), 52);
  assert.equal(reading(32), 0);
});

test('every convolution of every network feeds one batch norm, and nothing else', () => {
  for (const network of networkNames) {
    for (const bits of [4, 32]) {
      const graph = buildNetwork(network, 10);
      const fused = fuseGraph(graph, bits);
      for (const conv of layersOfKind(graph, 'conv'))
        assert.ok(feedsBatchNormOnly(fused, conv), `${network}, ${bits} bits: ${conv.name}`);
    }
  }
});
