import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differingKeys } from '../../src/config/difference.js';
import { experimentSchema } from '../../src/config/schema.js';

const experiment = (changes: object = {}) => experimentSchema.parse({ task: 'flowers', ...changes });

test('keys that change the hash are named with both values; the others are not', () => {
  const now = experiment({
    data: { root: '/elsewhere', workers: 0 },
    training: { epochs: 3, learningRate: { head: 1 } },
    method: { name: 'xbm', granularity: 'column' },
  });
  assert.deepEqual(differingKeys(experiment(), now), [
    'training.epochs: 30, now 3',
    'training.learningRate.head: 0.0002, now 1',
  ]);
  assert.deepEqual(differingKeys(now, now), []);
});
