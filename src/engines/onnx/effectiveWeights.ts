/** @file Effective convolution weights in the training graph, and the gradients of what they are made of. */
import { filterRows, maskShape, rowsPerBit } from '../../adaption/geometry.js';
import type { MaskSpec } from '../../adaption/method.js';
import { type Backbone, type ConvWeights, levelLimit } from '../../model/backbone.js';
import type { ConvLayer } from '../../model/graph.js';
import type { GraphBuilder } from './graphBuilder.js';

/** A convolution's weight in the graph and the way back from its gradient. */
export interface EffectiveWeight {
  /** [outC, inC, k, k] */
  readonly value: string;
  /** From dL/dW [outC, inC, k, k] to the gradient of the trained weight or the mask; null when neither is trained. */
  readonly gradient: ((weightGradient: string) => string) | null;
}

const weightDims = (conv: ConvLayer) => [conv.outChannels, conv.inChannels, conv.kernel, conv.kernel];

/** Frozen weights, nothing trained. */
export function frozenWeight(builder: GraphBuilder, conv: ConvLayer, backbone: Backbone): EffectiveWeight {
  return { value: backboneWeight(builder, backbone.convs[conv.name], weightDims(conv)), gradient: null };
}

/** The backbone's weights as a constant; levels make the model a quarter as large as their values. */
function backboneWeight(builder: GraphBuilder, weights: ConvWeights, dims: readonly number[]): string {
  if (weights.kind === 'float') return builder.constant(weights.values, dims);
  const { levels, scales } = weights;
  const scale = builder.constant(scales, [scales.length]);
  return builder.op('DequantizeLinear', [builder.constant(levels, dims), scale], { axis: 0 });
}

/**
 * Frozen weights times the binarised mask, bits spread over their rows: by broadcasting where segments are whole, by a
 * product with zeros and ones where the last one is shorter.
 * @param bits the binarised mask [outC, bits]; `gradient` leads back to it
 */
export function maskedWeight(
  builder: GraphBuilder,
  conv: ConvLayer,
  backbone: Backbone,
  mask: MaskSpec,
  bits: string,
): EffectiveWeight {
  const [outChannels, count] = maskShape(conv, mask);
  const rows = rowsPerBit(conv, mask);
  const filter = filterRows(conv);
  const missing = count * rows - filter;
  const dims = missing === 0 ? [outChannels, count, rows] : [outChannels, filter];
  const weights = backboneWeight(builder, backbone.convs[conv.name], dims);
  const perRow =
    missing === 0
      ? builder.op('Reshape', [bits, builder.ints(outChannels, count, 1)])
      : builder.op('MatMul', [bits, segments(builder, count, rows, filter)]);
  const masked = builder.op('Mul', [weights, perRow]);
  return {
    value: builder.op('Reshape', [masked, builder.ints(...weightDims(conv))]),
    gradient: (weightGradient) => {
      const apart = builder.op('Reshape', [weightGradient, builder.ints(...dims)]);
      let products = builder.op('Mul', [apart, weights]);
      if (rows === 1) return products;
      if (missing > 0) products = builder.op('Pad', [products, builder.ints(0, 0, 0, missing)]);
      const whole = builder.op('Reshape', [products, builder.ints(outChannels, count, rows)]);
      return builder.op('ReduceSum', [whole, builder.ints(2)], { keepdims: 0 });
    },
  };
}

/** [bits, filter]: one where a row belongs to a bit's segment. */
function segments(builder: GraphBuilder, bits: number, rows: number, filter: number): string {
  return builder.shared(`segments:${rows},${filter}`, () => {
    const ones = new Float32Array(bits * filter);
    for (let row = 0; row < filter; row++) ones[Math.floor(row / rows) * filter + row] = 1;
    return [ones, [bits, filter]];
  });
}

/**
 * Trained weights on the backbone's grid: round(clip(w / scale, −L, L)) · scale with the straight-through gradient
 * 1 where |w| ≤ L · scale; plain weights when the backbone is full precision.
 * @param weights [outC, inC, k, k]
 */
export function trainedWeight(
  builder: GraphBuilder,
  conv: ConvLayer,
  backbone: Backbone,
  weights: string,
): EffectiveWeight {
  const frozen = backbone.convs[conv.name];
  if (frozen.kind === 'float') return { value: weights, gradient: (gradient) => gradient };
  const limit = levelLimit(frozen.bits);
  // A channel whose weights are all zero has scale 0; its weights stay at level 0.
  const inverse = Float32Array.from(frozen.scales, (scale) => (scale === 0 ? 0 : 1));
  const divisor = Float32Array.from(frozen.scales, (scale) => (scale === 0 ? 1 : scale));
  const perChannel = (values: Float32Array) => builder.constant(values, [conv.outChannels, 1, 1, 1]);
  const ratio = builder.op('Mul', [builder.op('Div', [weights, perChannel(divisor)]), perChannel(inverse)]);
  const clipped = builder.op('Clip', [ratio, builder.scalar(-limit), builder.scalar(limit)]);
  const value = builder.op('Mul', [builder.op('Round', [clipped]), perChannel(frozen.scales)]);
  return {
    value,
    gradient: (gradient) => {
      // Not |ratio| ≤ L: rounding makes that false for some weights that start on the largest level.
      const largest = frozen.scales.map((scale) => (scale === 0 ? Number.POSITIVE_INFINITY : limit * scale));
      const inside = builder.op('LessOrEqual', [builder.op('Abs', [weights]), perChannel(largest)]);
      return builder.op('Where', [inside, gradient, builder.scalar(0)]);
    },
  };
}

/**
 * The binarised mask, zeros and ones, and the way from its gradient to that of the scores: all layers' in one vector.
 * @param noise Gumbel noise of the scores' shape, or null
 */
export function binarize(builder: GraphBuilder, mask: MaskSpec, scores: string, noise: string | null) {
  const threshold = builder.scalar(Math.fround(mask.threshold));
  if (mask.binarizer === 'identity') {
    const bits = builder.op('Cast', [builder.op('Greater', [scores, threshold])], { to: 1 });
    return { bits, scoreGradient: (gradient: string) => gradient };
  }
  let argument = builder.op('Mul', [builder.op('Sub', [scores, threshold]), builder.scalar(mask.slope)]);
  if (noise) argument = builder.op('Add', [argument, noise]);
  // sigmoid(x) ≥ 0.5 where x ≥ 0
  const bits = builder.op('Cast', [builder.op('GreaterOrEqual', [argument, builder.scalar(0)])], { to: 1 });
  return {
    bits,
    scoreGradient: (gradient: string) => {
      const soft = builder.op('Sigmoid', [argument]);
      const slope = builder.op('Mul', [soft, builder.op('Sub', [builder.scalar(1), soft])]);
      return builder.op('Mul', [builder.op('Mul', [gradient, slope]), builder.scalar(mask.slope)]);
    },
  };
}
