/** @file Where a graph of frozen networks takes its weights from: constants of one task, or tables of several. */
import type { ConvLayer } from '../../../model/graph.js';

/** `filters`: [outC, inC, k, k]; `columns`: [k·k·inC, outC]. */
export type WeightOrder = 'filters' | 'columns';

export interface WeightSource {
  /** A vector that every task has its own of, all of one length. */
  vector(perTask: readonly (Float32Array | Int32Array)[]): string;
  /**
   * Masked levels times `multiplier` as int8; plus 128 as uint8 when `offset`.
   * @throws Error when the weights are floats
   */
  levels(conv: ConvLayer, order: WeightOrder, multiplier: number, offset: boolean): string;
  /** Masked real weights [outC, inC, k, k], each output channel times its gain in the task. */
  floats(conv: ConvLayer, gains: readonly Float32Array[]): string;
  /** The head's weight [classes, features] and bias [classes]; tasks differ in their number of classes. */
  head(name: string): { weight: string; bias: string };
}

/** Levels in the order and type that a product wants them in. */
export function arrangeLevels(
  levels: Int8Array,
  { outChannels, inChannels, kernel }: ConvLayer,
  order: WeightOrder,
  multiplier: number,
): Int8Array {
  const taps = kernel * kernel;
  const arranged = new Int8Array(levels.length);
  for (let channel = 0, i = 0; channel < outChannels; channel++) {
    for (let input = 0; input < inChannels; input++) {
      for (let tap = 0; tap < taps; tap++, i++) {
        const to = order === 'filters' ? i : (tap * inChannels + input) * outChannels + channel;
        arranged[to] = levels[i] * multiplier;
      }
    }
  }
  return arranged;
}

/** Dimensions of a convolution's weights in an order. */
export function weightDims(conv: ConvLayer, order: WeightOrder): number[] {
  const { inChannels, outChannels, kernel } = conv;
  return order === 'filters'
    ? [outChannels, inChannels, kernel, kernel]
    : [kernel * kernel * inChannels, outChannels];
}
