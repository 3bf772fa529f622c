import type { FoldedNetwork } from '../../../adaption/fold.js';
import { BATCH_NORM_EPSILON } from '../../../model/graph.js';

/** Frozen batch norm as y = gain · x + shift, per channel. */
export interface ChannelAffine {
  readonly gain: Float64Array;
  readonly shift: Float64Array;
}

/** The multiply-add of a batch norm layer in inference. */
export function batchNormAffine({ tensors }: FoldedNetwork, name: string): ChannelAffine {
  const [weight, bias, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
    (suffix) => tensors[`${name}.${suffix}`],
  );
  const gain = Float64Array.from(weight, (w, c) => w / Math.sqrt(variance[c] + BATCH_NORM_EPSILON));
  return { gain, shift: Float64Array.from(bias, (b, c) => b - mean[c] * gain[c]) };
}
