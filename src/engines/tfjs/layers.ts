/**
 * @file The layers, channels last inside: activations [batch, height, width, channels]. Padding is explicit and every
 * window 'valid', because TensorFlow's 'same' at stride 2 pads other sides than PyTorch does.
 */
import * as tf from '@tensorflow/tfjs';
import type { Normalization } from '../../model/backbone.js';
import { BATCH_NORM_EPSILON, type ConvLayer, type MaxPoolLayer } from '../../model/graph.js';

function pad(x: tf.Tensor4D, pixels: number, value: number): tf.Tensor4D {
  const sides: [number, number] = [pixels, pixels];
  return pixels === 0 ? x : tf.pad4d(x, [[0, 0], sides, sides, [0, 0]], value);
}

/** Pixels 0 … 255 [batch, height, width, 3] → the normalised input of the network. */
export function normalize(pixels: Uint8Array, imageSize: number, { mean, std }: Normalization): tf.Tensor4D {
  const images = tf.tensor4d(Float32Array.from(pixels), [
    pixels.length / (3 * imageSize * imageSize),
    imageSize,
    imageSize,
    3,
  ]);
  return images
    .div<tf.Tensor4D>(255)
    .sub<tf.Tensor4D>(tf.tensor1d([...mean]))
    .div(tf.tensor1d([...std]));
}

/** @param weight [outC, inC, k, k] */
export function convolve(x: tf.Tensor4D, weight: tf.Tensor4D, layer: ConvLayer): tf.Tensor4D {
  const filter = tf.transpose(weight, [2, 3, 1, 0]); // [k, k, inC, outC]
  return tf.conv2d(pad(x, layer.padding, 0), filter, layer.stride, 'valid');
}

/** Padding never wins the maximum. */
export function maxPool(x: tf.Tensor4D, layer: MaxPoolLayer): tf.Tensor4D {
  return tf.maxPool(pad(x, layer.padding, Number.NEGATIVE_INFINITY), layer.kernel, layer.stride, 'valid');
}

/** Mean and biased variance of one batch, per channel, and the number of values they are taken over. */
export interface BatchStatistics {
  readonly mean: tf.Tensor1D;
  readonly variance: tf.Tensor1D;
  readonly count: number;
}

export function batchStatistics(x: tf.Tensor4D): BatchStatistics {
  const [batch, height, width] = x.shape;
  const mean = x.mean<tf.Tensor1D>([0, 1, 2]);
  const variance = x.sub(mean).square().mean<tf.Tensor1D>([0, 1, 2]);
  return { mean, variance, count: batch * height * width };
}

/** (x − mean)/√(variance + eps)·weight + bias, each [channels]. */
export function batchNorm(
  x: tf.Tensor4D,
  mean: tf.Tensor,
  variance: tf.Tensor,
  weight: tf.Tensor,
  bias: tf.Tensor,
): tf.Tensor4D {
  return x.sub(mean).div(variance.add(BATCH_NORM_EPSILON).sqrt()).mul(weight).add(bias);
}

/** [batch, height, width, channels] → [batch, channels] */
export function globalAveragePool(x: tf.Tensor4D): tf.Tensor2D {
  return x.mean([1, 2]);
}

/** x · weightᵀ + bias, weight [outFeatures, inFeatures]. */
export function linear(x: tf.Tensor2D, weight: tf.Tensor2D, bias: tf.Tensor1D): tf.Tensor2D {
  return tf.matMul(x, weight, false, true).add(bias);
}

/** Mean cross-entropy of logits [batch, classes], nats. */
export function crossEntropy(logits: tf.Tensor2D, labels: tf.Tensor1D): tf.Scalar {
  const [batch, classes] = logits.shape;
  return tf.oneHot(labels, classes).mul(tf.logSoftmax(logits)).sum().div<tf.Scalar>(-batch);
}
