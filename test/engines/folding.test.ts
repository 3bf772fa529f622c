import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openEngine } from '../../src/engines/registry.js';
import { gradients } from '../../src/engines/tfjs/gradients.js';
import { folded, tinyBatch, tinyMethod, tinyPlan, tinyState } from './fixtures.js';

const { engine } = await openEngine('tfjs', { threads: 1 });

describe('with frozen batch norm, the folded task computes exactly what training computes', () => {
  for (const name of ['xbm', 'piggyback', 'finetune', 'classifier'] as const) {
    test(name, async () => {
      const plan = tinyPlan({ method: tinyMethod(name, {}, { trainBatchNorm: false }) });
      const { batchSize, imageSize } = plan;
      const state = tinyState(plan);
      const batch = tinyBatch(plan);
      const training = await gradients(plan, state, batch, 0);
      const session = await engine.openInference({ network: folded(plan, state), batchSize, imageSize });
      const { logits } = await session.predict(batch);
      await session.close();
      assert.deepEqual(logits, training.logits);
    });
  }
});
