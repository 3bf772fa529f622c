/** @file A frozen backbone in memory: quantised convolution weights, batch norm, activation clips, its own head. */
import type { LayerGraph } from './graph.js';

/** Weights of one convolution, [outChannels, inChannels, kernel, kernel] in row-major order. */
export type ConvWeights =
  | {
      readonly kind: 'levels';
      /** Integers, at most {@link levelLimit} in magnitude. */
      readonly levels: Int8Array;
      /** Weight of one level, per output channel [outChannels]: weight = level · scale. */
      readonly scales: Float32Array;
      readonly bits: number;
    }
  | { readonly kind: 'float'; readonly values: Float32Array };

/** Largest level of a signed weight. */
export const levelLimit = (bits: number) => 2 ** (bits - 1) - 1;

export interface Backbone {
  /** Its head is the one it was pretrained with. */
  readonly graph: LayerGraph;
  /** By convolution name. */
  readonly convs: Readonly<Record<string, ConvWeights>>;
  /** `<layer>.weight`, `.bias`, `.running_mean`, `.running_var`, each [channels]. */
  readonly batchNorms: Readonly<Record<string, Float32Array>>;
  /** Clip of each quantize layer, by layer name; empty when activationBits is 32. */
  readonly clips: Readonly<Record<string, number>>;
  /** 2 … 8, or 32 for full precision. */
  readonly weightBits: number;
  /** 2 … 8, or 32 for full precision. */
  readonly activationBits: number;
  /** The pretrained head: weight [classes, features], bias [classes]. Tasks bring their own. */
  readonly head: { readonly weight: Float32Array; readonly bias: Float32Array };
  /** Class names of the pretrained head, when known. */
  readonly classes: readonly string[];
  /** Per-channel mean and standard deviation of the pixels (0 … 1) it was trained on. */
  readonly normalization: Normalization;
  /** SHA-256 (hex) of the frozen content: levels or values, scales, batch norm, clips. */
  readonly sha256: string;
}

export interface Normalization {
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** ImageNet's, as used by torchvision. */
export const IMAGENET_NORMALIZATION: Normalization = {
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

/** The real-valued weights a convolution computes with, [outChannels, inChannels, kernel, kernel]. */
export function dequantize(weights: ConvWeights): Float32Array {
  if (weights.kind === 'float') return weights.values;
  const { levels, scales } = weights;
  const perChannel = levels.length / scales.length;
  const values = new Float32Array(levels.length);
  for (let channel = 0, i = 0; channel < scales.length; channel++) {
    for (const end = i + perChannel; i < end; i++) values[i] = levels[i] * scales[channel];
  }
  return values;
}
