import * as tf from '@tensorflow/tfjs';
import { type ConvWeights, dequantize } from '../../model/backbone.js';
import type { ConvLayer } from '../../model/graph.js';

/** One convolution of the backbone on the device; never written. */
export interface FrozenConv {
  /** The real values, [outC, inC, k, k]. */
  readonly weight: tf.Tensor4D;
  /** The grid of quantised weights: scales [outC, 1, 1, 1]; null in full precision. */
  readonly grid: { readonly scales: tf.Tensor4D; readonly bits: number } | null;
}

/** Uploads the weights of one convolution. */
export function freezeConv(conv: ConvLayer, weights: ConvWeights): FrozenConv {
  const { outChannels, inChannels, kernel } = conv;
  return {
    weight: tf.tensor4d(dequantize(weights), [outChannels, inChannels, kernel, kernel]),
    grid:
      weights.kind === 'levels'
        ? { scales: tf.tensor4d(weights.scales, [outChannels, 1, 1, 1]), bits: weights.bits }
        : null,
  };
}

export function disposeConv(conv: FrozenConv): void {
  conv.weight.dispose();
  conv.grid?.scales.dispose();
}
