/**
 * @file The four operations whose gradient is not their derivative. Each forward value is a step function; training
 * passes the gradient through the function the step stands for (straight-through, Bengio et al. 2013).
 */
import * as tf from '@tensorflow/tfjs';
import { levelLimit } from '../../model/backbone.js';

/** y = forward(x) with dL/dx = dL/dy · derivative(x). */
function straightThrough<T extends tf.Tensor>(
  x: T,
  forward: (x: T) => tf.Tensor,
  derivative: (x: T) => tf.Tensor,
): T {
  const operation = tf.customGrad((input, save) => {
    (save as tf.GradSaveFunc)([input as T]);
    return {
      value: forward(input as T),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => dy.mul(derivative(saved[0] as T)),
    };
  });
  return operation(x) as T;
}

/**
 * Activation quantiser: c·round(clip(x/c, 0, 1)·L)/L with L = 2^bits − 1 levels above 0.
 * Gradient: 1 where 0 ≤ x ≤ c, else 0.
 */
export function quantizeActivation<T extends tf.Tensor>(x: T, clip: number, bits: number): T {
  const levels = 2 ** bits - 1;
  return straightThrough(
    x,
    (x) =>
      x
        .div(clip)
        .clipByValue(0, 1)
        .mul(levels)
        .round()
        .mul(clip / levels),
    (x) => x.greaterEqual(0).logicalAnd(x.lessEqual(clip)).cast('float32'),
  );
}

/**
 * Weight quantiser of the finetune method: round(clip(w/scale, −L, L))·scale with L = 2^(bits−1) − 1.
 * Gradient: 1 where |w| ≤ L·scale, else 0: not |w/scale| ≤ L, which rounding makes false for some weights that start on
 * the largest level. A channel of scale 0 stays 0.
 * @param weights [outC, inC, k, k]
 * @param scales [outC, 1, 1, 1]
 */
export function quantizeWeights(weights: tf.Tensor4D, scales: tf.Tensor4D, bits: number): tf.Tensor4D {
  const limit = levelLimit(bits);
  return straightThrough(
    weights,
    (w) => tf.divNoNan(w, scales).clipByValue(-limit, limit).round().mul(scales),
    (w) => w.abs().lessEqual(scales.mul(limit)).logicalOr(scales.equal(0)).cast('float32'),
  );
}

/**
 * KSM's binariser: soft = sigmoid(slope·(score − threshold) + noise), hard = 1 if soft ≥ 0.5 else 0.
 * Gradient: slope·soft·(1 − soft). The step is taken on the sigmoid's argument, where it is exact.
 * @param noise one value per score; null: none
 */
export function binarizeSigmoid(
  scores: tf.Tensor2D,
  { threshold, slope }: { threshold: number; slope: number },
  noise: Float32Array | null,
): tf.Tensor2D {
  const argument = (scores: tf.Tensor2D): tf.Tensor2D => {
    const scaled = scores.sub<tf.Tensor2D>(threshold).mul<tf.Tensor2D>(slope);
    return noise ? scaled.add(tf.tensor2d(noise, scores.shape)) : scaled;
  };
  return straightThrough(
    scores,
    (scores) => argument(scores).greaterEqual(0).cast('float32'),
    (scores) => {
      const soft = argument(scores).sigmoid();
      return soft.mul(tf.sub(1, soft)).mul(slope);
    },
  );
}

/** Piggyback's binariser: hard = 1 if score > threshold else 0, gradient 1. */
export function binarizeIdentity(scores: tf.Tensor2D, threshold: number): tf.Tensor2D {
  return straightThrough(
    scores,
    (scores) => scores.greater(threshold).cast('float32'),
    (scores) => tf.onesLike(scores),
  );
}
