import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type FoldedNetwork, foldBackbone } from '../../src/adaption/fold.js';
import type { Batch } from '../../src/data/batch.js';
import type { Engine } from '../../src/engines/engine.js';
import { ExitCode, UserError } from '../../src/errors.js';
import { withClasses } from '../../src/model/graph.js';
import { crossEntropy, evaluate, perClassAccuracy } from '../../src/training/evaluate.js';
import { ColourLoader, DoubleEngine, tinyBackbone } from './doubles.js';

const backbone = tinyBackbone();
const network: FoldedNetwork = { ...foldBackbone(backbone), graph: withClasses(backbone.graph, 3) };

/** An engine whose logits are given for every image, in loader order. */
function oracle(logitsOf: (image: number) => readonly number[]): Engine {
  let image = 0;
  return Object.assign(new DoubleEngine(), {
    openInference: async () => ({
      predict: async (batch: Batch) => ({
        logits: Float32Array.from(Array.from(batch.labels, () => logitsOf(image++)).flat()),
        taps: {},
      }),
      close: async () => {},
    }),
  });
}

const run = (engine: Engine, samples: number) =>
  evaluate({
    engine,
    network,
    loader: new ColourLoader({ samples, classes: 3, batchSize: 4, mode: 'evaluate' }),
    batchSize: 4,
    imageSize: 8,
  });

test('counts every image once, padding never, by true and predicted class', async () => {
  // Labels are 0 1 2 0 1 2 0; class 2 is always taken for class 0.
  const result = await run(
    oracle(
      (image) =>
        [
          [5, 0, 0],
          [0, 5, 0],
          [5, 0, 4],
        ][image % 3],
    ),
    7,
  );
  assert.equal(result.images, 7);
  assert.equal(result.correct, 5);
  assert.equal(result.accuracy, (100 * 5) / 7);
  assert.deepEqual([...result.confusion], [3, 0, 0, 0, 2, 0, 2, 0, 0]);
  assert.deepEqual(perClassAccuracy(result), [100, 100, 0]);
  const right = Math.log(1 + 2 * Math.exp(-5));
  const wrong = Math.log(Math.exp(5) + 1 + Math.exp(4)) - 4;
  assert.ok(Math.abs(result.loss - (5 * right + 2 * wrong) / 7) < 1e-12);
});

test('a class without images has no accuracy', () => {
  assert.deepEqual(perClassAccuracy({ confusion: Uint32Array.of(1, 1, 0, 0), classes: 2 }), [50, null]);
});

test('logits that are not finite end the evaluation with a message', async () => {
  await assert.rejects(
    run(
      oracle(() => [0, Number.NaN, 0]),
      4,
    ),
    (error: unknown) => error instanceof UserError && error.exitCode === ExitCode.failed,
  );
});

test('cross-entropy is −log softmax, also for large logits', () => {
  fc.assert(
    fc.property(
      fc.array(fc.float({ min: -50, max: 50, noNaN: true }), { minLength: 2, maxLength: 9 }),
      fc.float({ min: -1000, max: 1000, noNaN: true }),
      (values, shift) => {
        const label = values.length - 1;
        const plain = Math.log(values.reduce((sum, v) => sum + Math.exp(v), 0)) - values[label];
        const tolerance = 1e-3 * (1 + plain);
        const shifted = crossEntropy(
          Float32Array.from(values, (v) => v + shift),
          label,
        );
        assert.ok(Math.abs(crossEntropy(Float32Array.from(values), label) - plain) < 1e-9 * (1 + plain));
        assert.ok(Math.abs(shifted - plain) < tolerance);
      },
    ),
  );
});
