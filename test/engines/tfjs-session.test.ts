import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { openEngine } from '../../src/engines/registry.js';
import { folded, learningRates, tinyBatch, tinyMethod, tinyPlan, tinyState } from './fixtures.js';

const { engine } = await openEngine('tfjs', { threads: 1 });

describe('tfjs sessions', () => {
  for (const name of ['xbm', 'piggyback', 'finetune', 'classifier'] as const) {
    test(`${name}: the loss of one batch falls, and no tensor leaks`, async () => {
      const plan = tinyPlan({ network: 'basic', method: tinyMethod(name), batchSize: 4 });
      const state = tinyState(plan);
      const batch = tinyBatch(plan);
      const before = tf.memory().numTensors;
      const session = await engine.openTraining(plan, state);
      const held = tf.memory().numTensors;
      const losses: number[] = [];
      for (let step = 0; step < 12; step++) {
        const { metrics } = await session.trainStep(batch, { step, learningRates });
        const { loss, correct } = await metrics;
        losses.push(loss);
        assert.ok(Number.isInteger(correct) && correct >= 0 && correct <= 4);
        assert.equal(tf.memory().numTensors, held);
      }
      assert.ok(losses.at(-1)! < losses[0] - 0.02, `losses ${losses}`);
      const after = await session.readState();
      assert.equal(after.step, 12);
      assert.notDeepEqual(after.tensors['fc.weight'], state.tensors['fc.weight']);
      await session.close();

      const network = folded(plan, after);
      const inference = await engine.openInference({
        network,
        batchSize: 4,
        imageSize: plan.imageSize,
        taps: ['relu'],
      });
      const { logits, taps } = await inference.predict(batch);
      assert.equal(logits.length, 4 * 5);
      assert.equal(taps.relu.length, 4 * 4 * 7 * 7);
      await inference.close();
      assert.equal(tf.memory().numTensors, before);
    });
  }
});
