/** @file From a task and its backbone to the network that inference runs: masked weights folded, no masks left. */
import {
  type Backbone,
  type ConvWeights,
  dequantize,
  levelLimit,
  type Normalization,
} from '../model/backbone.js';
import { type LayerGraph, layersOfKind } from '../model/graph.js';
import { roundHalfEven } from '../model/rounding.js';
import { rowsPerBit } from './geometry.js';
import type { MaskSpec, MethodSpec } from './method.js';

export { roundHalfEven };

/** A network with plain weights: what an inference session computes. */
export interface FoldedNetwork {
  /** With the task's head. */
  readonly graph: LayerGraph;
  /** By convolution name; masked weights are level 0. */
  readonly convs: Readonly<Record<string, ConvWeights>>;
  /** Batch norm and head tensors by name: `<bn>.weight` …, `fc.weight`, `fc.bias`. */
  readonly tensors: Readonly<Record<string, Float32Array>>;
  readonly clips: Readonly<Record<string, number>>;
  readonly activationBits: number;
  readonly normalization: Normalization;
}

/** The hard step: bit = 1 where the score's soft mask is at least 0.5 (sigmoid) or above the threshold (identity). */
export function binarize(scores: Float32Array, mask: Pick<MaskSpec, 'binarizer' | 'threshold'>): Uint8Array {
  // The threshold is rounded to float32, the precision in which scores are kept and engines compare.
  const threshold = Math.fround(mask.threshold);
  const atThreshold = Number(mask.binarizer === 'sigmoid');
  const bits = new Uint8Array(scores.length);
  for (let i = 0; i < scores.length; i++)
    bits[i] = scores[i] > threshold ? 1 : scores[i] === threshold ? atThreshold : 0;
  return bits;
}

/** Weights with the levels (or values) of switched-off segments set to 0. */
export function applyMask(
  weights: ConvWeights,
  bits: Uint8Array,
  outChannels: number,
  rows: number,
): ConvWeights {
  const clear = <T extends Int8Array | Float32Array>(values: T): T => {
    const masked = values.slice() as T;
    const perFilter = values.length / outChannels;
    const bitsPerFilter = Math.ceil(perFilter / rows);
    bits.forEach((bit, index) => {
      if (bit) return;
      const channel = Math.floor(index / bitsPerFilter);
      const start = (index % bitsPerFilter) * rows;
      masked.fill(0, channel * perFilter + start, channel * perFilter + Math.min(start + rows, perFilter));
    });
    return masked;
  };
  return weights.kind === 'levels'
    ? { ...weights, levels: clear(weights.levels) }
    : { kind: 'float', values: clear(weights.values) };
}

/** Rounds trained weights to the backbone's grid: level = round(clip(w / scale)), the finetune method's forward value. */
export function quantizeToGrid(weights: Float32Array, grid: ConvWeights): ConvWeights {
  if (grid.kind === 'float') return { kind: 'float', values: weights };
  const limit = levelLimit(grid.bits);
  const perFilter = weights.length / grid.scales.length;
  const levels = Int8Array.from(weights, (w, i) => {
    const scale = grid.scales[Math.floor(i / perFilter)];
    return scale === 0 ? 0 : roundHalfEven(Math.max(-limit, Math.min(limit, Math.fround(w / scale))));
  });
  return { ...grid, levels };
}

/**
 * Folds a task into its backbone.
 * @param masks mask bits by convolution name, [outC · bitsPerFilter]; required by mask methods
 * @param tensors the task's batch norm and head, and `<conv>.weight` for methods that train weights
 */
export function foldTask(
  graph: LayerGraph,
  backbone: Backbone,
  method: MethodSpec,
  masks: Readonly<Record<string, Uint8Array>>,
  tensors: Readonly<Record<string, Float32Array>>,
): FoldedNetwork {
  const convs: Record<string, ConvWeights> = {};
  for (const conv of layersOfKind(graph, 'conv')) {
    const frozen = backbone.convs[conv.name];
    if (method.mask) {
      convs[conv.name] = applyMask(frozen, masks[conv.name], conv.outChannels, rowsPerBit(conv, method.mask));
    } else if (method.trainWeights) {
      convs[conv.name] = quantizeToGrid(tensors[`${conv.name}.weight`], frozen);
    } else {
      convs[conv.name] = frozen;
    }
  }
  const { clips, activationBits, normalization } = backbone;
  return { graph, convs, tensors, clips, activationBits, normalization };
}

/** The backbone with its own pretrained head, as a folded network: what `xbm backbone check` measures. */
export function foldBackbone(backbone: Backbone): FoldedNetwork {
  const { graph, convs, clips, activationBits, normalization } = backbone;
  const tensors = {
    ...backbone.batchNorms,
    'fc.weight': backbone.head.weight,
    'fc.bias': backbone.head.bias,
  };
  return { graph, convs, tensors, clips, activationBits, normalization };
}

/** Real-valued weights of every convolution of a folded network. */
export function foldedWeights(network: FoldedNetwork): Record<string, Float32Array> {
  return Object.fromEntries(
    Object.entries(network.convs).map(([name, weights]) => [name, dequantize(weights)]),
  );
}
