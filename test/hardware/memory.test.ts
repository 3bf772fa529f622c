import assert from 'node:assert/strict';
import { test } from 'node:test';
import { taskMemory } from '../../src/hardware/memory.js';
import { crossbarNetwork } from '../../src/hardware/network.js';
import { buildNetwork } from '../../src/model/networks.js';

const network = crossbarNetwork(buildNetwork('cifar-resnet8', 10), 32);
const task = { method: 'xbm', maskBits: 9, classes: 7, trainsBatchNorm: true } as const;

test('masks in whole bytes, own weights packed, head and batch norm in float32', () => {
  const xbm = taskMemory(network, task, 4);
  assert.deepEqual([xbm.masks, xbm.weights, xbm.head], [2, 0, (64 + 1) * 7 * 4]);
  assert.equal(xbm.batchNorm, network.batchNormChannels * 2 * 4);
  assert.equal(xbm.total, xbm.masks + xbm.batchNorm + xbm.head);
  const weights = network.layers.reduce(
    (sum, layer) => sum + (layer.head ? 0 : layer.rows * layer.outputs),
    0,
  );
  assert.equal(taskMemory(network, { ...task, method: 'finetune' }, 4).weights, weights / 2);
});

test('frozen batch norm takes no memory, whatever the method; a classifier may train it', () => {
  assert.equal(taskMemory(network, { ...task, trainsBatchNorm: false }, 4).batchNorm, 0);
  assert.ok(taskMemory(network, { ...task, method: 'classifier' }, 4).batchNorm > 0);
});
