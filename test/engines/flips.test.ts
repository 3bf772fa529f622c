/**
 * @file Where nothing keeps values clear of rounding boundaries: how many quantisation levels differ between an engine
 * and the reference. Float32 errors flip a few, and each flip moves what is computed from it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EngineName, InferencePlan } from '../../src/engines/engine.js';
import { listEngines, openEngine } from '../../src/engines/registry.js';
import { layersOfKind } from '../../src/model/graph.js';
import { buildNetwork } from '../../src/model/networks.js';
import { adam, folded, randomBackbone, tinyBatch, tinyMethod, tinyState } from './fixtures.js';

const graph = buildNetwork('cifar-resnet8', 5);
const backbone = randomBackbone(graph);
const sizes = { batchSize: 2, imageSize: 16 };
const training = {
  graph,
  backbone,
  method: tinyMethod('xbm', { rows: 72 }),
  optimizer: adam,
  seed: 1,
  ...sizes,
};
const taps = layersOfKind(graph, 'quantize').map(({ name }) => name);
const plan: InferencePlan = { network: folded(training, tinyState(training)), taps, ...sizes };

async function predict(name: EngineName) {
  const { engine } = await openEngine(name, { threads: 2 });
  const session = await engine.openInference(plan);
  const prediction = await session.predict(tinyBatch(sizes, 3));
  await session.close();
  return prediction;
}

const engines = await listEngines();

describe('quantisation levels that differ from the reference', () => {
  for (const { name, available, detail } of engines) {
    if (name === 'tfjs') continue;
    const skip = available ? false : `engine ${name} cannot run here: ${detail}`;
    test(`${name}: at most 1 in 1,000, each by one level`, { skip }, async (context) => {
      const [reference, actual] = [await predict('tfjs'), await predict(name)];
      let [values, flips] = [0, 0];
      for (const tap of taps) {
        const level = backbone.clips[tap] / 15;
        reference.taps[tap].forEach((value, i) => {
          const difference = Math.round(Math.abs(value - actual.taps[tap][i]) / level);
          assert.ok(difference <= 1, `${tap}[${i}] differs by ${difference} levels`);
          flips += difference;
          values++;
        });
      }
      context.diagnostic(`${flips} of ${values} levels differ`);
      assert.ok(values > 20_000);
      assert.ok(flips <= values / 1000, `${flips} of ${values} levels differ`);
    });
  }
});
