import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { listEngines, openEngine } from '../../src/engines/registry.js';
import { UserError } from '../../src/errors.js';
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

describe('what tfjs refuses', () => {
  const plan = tinyPlan({ network: 'basic' });
  const state = tinyState(plan);
  const batch = tinyBatch(plan);
  const at = { step: 0, learningRates };

  test('batches that do not fit the plan', async () => {
    const session = await engine.openTraining(plan, state);
    const labels = Int32Array.from([0, 1, 5]);
    await assert.rejects(session.trainStep({ ...batch, labels }, at), /label 5, expected 0 … 4/);
    await assert.rejects(session.trainStep({ ...batch, labels: Int32Array.of(0, 1, -1) }, at), /label -1/);
    const pixels = batch.pixels.subarray(1);
    await assert.rejects(session.trainStep({ ...batch, pixels }, at), /440 pixel values, expected 3 and 441/);
    await session.close();
  });

  test('states that do not fit the plan, leaving no tensor behind', async () => {
    const before = tf.memory().numTensors;
    const { 'fc.bias': _, ...tensors } = state.tensors;
    await assert.rejects(
      engine.openTraining(plan, { ...state, tensors }),
      /fc.bias has no values, expected 5/,
    );
    await assert.rejects(
      engine.openTraining(plan, { ...state, moments: {} }),
      /conv1.scores.m has no values/,
    );
    assert.equal(tf.memory().numTensors, before);
  });

  test('batch statistics of a single value', async () => {
    const single = { ...plan, batchSize: 1, imageSize: 2 };
    await assert.rejects(
      engine.openTraining(single, state),
      (error) => error instanceof UserError && /batch size 1 at 2 pixels .* layer2.0.bn1/.test(error.message),
    );
    const frozen = { ...single, method: tinyMethod('xbm', {}, { trainBatchNorm: false }) };
    await (await engine.openTraining(frozen, tinyState(frozen))).close();
  });

  test('taps of layers the network does not have', async () => {
    const network = folded(plan, state);
    const inference = { network, batchSize: 3, imageSize: plan.imageSize, taps: ['relu', 'input'] };
    await assert.rejects(engine.openInference(inference), /no layer "input"/);
  });
});

test('the device names the backend; pure JavaScript says why, native which TensorFlow', async () => {
  const status = (await listEngines()).find(({ name }) => name === 'tfjs')!;
  assert.ok(status.available);
  const [major, minor] = tf.version_core.split('.');
  assert.match(engine.device, new RegExp(`^TensorFlow.js ${major}\\.${minor}`));
  if (tf.getBackend() === 'cpu') {
    assert.equal(status.detail, engine.device);
    assert.match(
      engine.device,
      /pure JavaScript, 1 thread \(.*(npm run setup:tensorflow|XBM_TFJS_BACKEND=cpu)/,
    );
  } else {
    assert.match(status.detail, /native TensorFlow, (CPU|CUDA)/);
    assert.match(engine.device, /native TensorFlow 2\.\d+\.\d+, (CPU|CUDA)/);
  }
});
