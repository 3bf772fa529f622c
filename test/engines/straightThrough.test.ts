/** @file Each straight-through rule of the reference alone against its closed form. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { binarize } from '../../src/adaption/fold.js';
import { startBackend } from '../../src/engines/tfjs/backend.js';
import {
  binarizeIdentity,
  binarizeSigmoid,
  quantizeActivation,
  quantizeWeights,
} from '../../src/engines/tfjs/straightThrough.js';
import { assertClose } from './assertClose.js';
import { gaussians } from './fixtures.js';

await startBackend(1);

/** Value and gradient of a function, the gradient weighted by known factors dL/dy. */
function valueAndGradient(x: tf.Tensor, upstream: Float32Array, f: (x: tf.Tensor) => tf.Tensor) {
  const [value, gradient] = tf.tidy(() => {
    const { value, grad } = tf.valueAndGrad(f)(x, tf.tensor(upstream, x.shape)) as never as {
      value: tf.Tensor;
      grad: tf.Tensor;
    };
    return [value, grad];
  });
  return { value: value.dataSync<'float32'>(), gradient: gradient.dataSync<'float32'>() };
}

const upstream = (length: number) => gaussians(length, 0, 1, 'upstream', 3);

describe('activation quantiser', () => {
  for (const bits of [1, 2, 4, 8]) {
    test(`${bits} bits: levels, ties and edges`, () => {
      const clip = 1.5;
      const levels = 2 ** bits - 1;
      const edges = [-1, -1e-30, 0, 1e-30, clip, 1.5000001, 100];
      const x = Float32Array.from([...edges, ...gaussians(200, 0.7, 0.8, 'x', bits)]);
      const dy = upstream(x.length);
      const { value, gradient } = valueAndGradient(tf.tensor1d(x), dy, (x) =>
        quantizeActivation(x, clip, bits),
      );
      const expected = x.map(
        (v) => (clip * Math.round(Math.min(Math.max(v / clip, 0), 1) * levels)) / levels,
      );
      assertClose(value, expected, 1e-6, 'value');
      assert.deepEqual(
        [...gradient],
        [...x].map((v, i) => Number(v >= 0 && v <= clip) * dy[i]),
      );
      for (const v of value)
        assertClose([(v / clip) * levels], [Math.round((v / clip) * levels)], 1e-6, 'level');
    });
  }

  test('rounds ties to even', () => {
    const x = Float32Array.from([0.5, 1.5, 2.5, 3.5, 14.5]); // clip 15: level = value
    const { value } = valueAndGradient(tf.tensor1d(x), upstream(5), (x) => quantizeActivation(x, 15, 4));
    assert.deepEqual([...value], [0, 2, 2, 4, 14]);
  });
});

describe('weight quantiser', () => {
  test('levels, ties, clipping and a channel of scale 0', () => {
    const scale = 0.25;
    const rows = [
      [0.125, 0.375, -0.625, 1.75, -1.75, 1.7500001, -3, 0.2],
      [0.3, -0.1, 0, 5, -5, 0.01, 0.02, 1],
    ];
    const w = Float32Array.from(rows.flat());
    const dy = upstream(w.length);
    const scales = tf.tensor4d([scale, 0], [2, 1, 1, 1]);
    const { value, gradient } = valueAndGradient(tf.tensor4d(w, [2, 8, 1, 1]), dy, (w) =>
      quantizeWeights(w as tf.Tensor4D, scales, 4),
    );
    assert.deepEqual([...value], [0, 0.5, -0.5, 1.75, -1.75, 1.75, -1.75, 0.25, ...new Array(8).fill(0)]);
    const passes = [1, 1, 1, 1, 1, 0, 0, 1];
    assert.deepEqual(
      [...gradient.subarray(0, 8)],
      passes.map((pass, i) => pass * dy[i]),
    );
  });
});

describe('binarisers', () => {
  const threshold = 0.005;
  const slope = 12;
  const at = Math.fround(threshold);
  const ulp = 2 ** -31; // of float32 near the threshold
  const edges = [at, at + ulp, at - ulp, 0.01, 0, -1, 1];
  const scores = Float32Array.from([...edges, ...gaussians(93, threshold, 0.1, 'scores', 1)]);
  const tensor = () => tf.tensor2d(scores, [4, 25]);
  const dy = upstream(scores.length);

  test('sigmoid: hard step forward, slope·soft·(1 − soft) backward', () => {
    const { value, gradient } = valueAndGradient(tensor(), dy, (x) =>
      binarizeSigmoid(x as tf.Tensor2D, { threshold, slope }, null),
    );
    assert.deepEqual([...value.subarray(0, 3)], [1, 1, 0], 'at the threshold and one float beside it');
    assert.deepEqual(Uint8Array.from(value), binarize(scores, { binarizer: 'sigmoid', threshold }));
    const expected = scores.map((score, i) => {
      const soft = 1 / (1 + Math.exp(-slope * (score - threshold)));
      return dy[i] * slope * soft * (1 - soft);
    });
    assertClose(gradient, expected, 1e-6, 'gradient');
  });

  test('sigmoid with noise: both the step and its gradient see the noise', () => {
    const noise = gaussians(scores.length, 0, 2, 'noise', 1);
    const { value, gradient } = valueAndGradient(tensor(), dy, (x) =>
      binarizeSigmoid(x as tf.Tensor2D, { threshold, slope }, noise),
    );
    const soft = scores.map((score, i) => 1 / (1 + Math.exp(-slope * (score - threshold) - noise[i])));
    assert.deepEqual(
      [...value],
      [...soft].map((s) => Number(s >= 0.5)),
    );
    assert.notDeepEqual(Uint8Array.from(value), binarize(scores, { binarizer: 'sigmoid', threshold }));
    assertClose(
      gradient,
      soft.map((s, i) => dy[i] * slope * s * (1 - s)),
      1e-6,
      'gradient',
    );
  });

  test('identity: off at the threshold, gradient unchanged', () => {
    const { value, gradient } = valueAndGradient(tensor(), dy, (x) =>
      binarizeIdentity(x as tf.Tensor2D, threshold),
    );
    assert.deepEqual([...value.subarray(0, 3)], [0, 1, 0]);
    assert.deepEqual(Uint8Array.from(value), binarize(scores, { binarizer: 'identity', threshold }));
    assert.deepEqual([...gradient], [...dy]);
  });
});
