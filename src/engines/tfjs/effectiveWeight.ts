import type * as tf from '@tensorflow/tfjs';
import { filterRows, maskShape, rowsPerBit } from '../../adaption/geometry.js';
import type { MaskSpec, MethodSpec } from '../../adaption/method.js';
import { gumbelNoise } from '../../adaption/noise.js';
import type { ConvLayer } from '../../model/graph.js';
import type { FrozenConv } from './frozenConv.js';
import { binarizeIdentity, binarizeSigmoid, quantizeWeights } from './straightThrough.js';

/**
 * The weights a convolution computes with while training, [outC, inC, k, k]: masked frozen weights (xbm, piggyback),
 * trained weights on the backbone's grid (finetune) or the frozen ones (classifier).
 * @param tensor the task's tensors by name
 */
export function effectiveWeight(
  conv: ConvLayer,
  method: MethodSpec,
  frozen: FrozenConv,
  tensor: (name: string) => tf.Tensor,
  { seed, step }: { seed: number; step: number },
): tf.Tensor4D {
  if (method.mask) {
    const scores = tensor(`${conv.name}.scores`) as tf.Tensor2D;
    const noise = method.mask.noise ? gumbelNoise(seed, step, conv.name, scores.size) : null;
    const bits = binarize(scores, method.mask, noise);
    return frozen.weight.mul(expandMask(bits, conv, method.mask));
  }
  if (method.trainWeights) {
    const weight = tensor(`${conv.name}.weight`) as tf.Tensor4D;
    return frozen.grid ? quantizeWeights(weight, frozen.grid.scales, frozen.grid.bits) : weight;
  }
  return frozen.weight;
}

function binarize(scores: tf.Tensor2D, mask: MaskSpec, noise: Float32Array | null): tf.Tensor2D {
  return mask.binarizer === 'identity'
    ? binarizeIdentity(scores, mask.threshold)
    : binarizeSigmoid(scores, mask, noise);
}

/** Repeats each bit over the rows of its segment: [outC, bitsPerFilter] → [outC, inC, k, k]. */
function expandMask(bits: tf.Tensor2D, conv: ConvLayer, mask: MaskSpec): tf.Tensor4D {
  const [outChannels, bitsPerFilter] = maskShape(conv, mask);
  const rows = rowsPerBit(conv, mask);
  return bits
    .reshape([outChannels, bitsPerFilter, 1])
    .tile([1, 1, rows])
    .reshape<tf.Tensor2D>([outChannels, bitsPerFilter * rows])
    .slice([0, 0], [outChannels, filterRows(conv)]) // the last segment may be shorter
    .reshape([outChannels, conv.inChannels, conv.kernel, conv.kernel]);
}
