/** @file Effective convolution weights in the training graph, and the gradients of what they are made of. */
import { filterRows, maskShape, rowsPerBit } from '../../adaption/geometry.js';
import type { MaskSpec } from '../../adaption/method.js';
import { type Backbone, dequantize } from '../../model/backbone.js';
import type { ConvLayer } from '../../model/graph.js';
import { levelLimit } from '../../model/quantize.js';
import type { GraphBuilder } from './graphBuilder.js';

/** A convolution's weight in the graph and the way back from its gradient. */
export interface EffectiveWeight {
  /** [outC, inC, k, k] */
  readonly value: string;
  /** From dL/dW [outC, inC, k, k] to the gradient of the trained tensor behind it; null when nothing is trained. */
  readonly gradient: ((weightGradient: string) => string) | null;
}

const weightDims = (conv: ConvLayer) => [conv.outChannels, conv.inChannels, conv.kernel, conv.kernel];

/** Frozen weights, nothing trained. */
export function frozenWeight(builder: GraphBuilder, conv: ConvLayer, backbone: Backbone): EffectiveWeight {
  return { value: builder.constant(dequantize(backbone.convs[conv.name]), weightDims(conv)), gradient: null };
}

/**
 * Frozen weights times the binarised mask. The constant weights are stored as [outC, bits, rows], the ragged last
 * segment padded with zeros, so the mask multiplies them by broadcasting and its gradient is one row sum.
 * @param scores [outC, bits]
 * @param noise Gumbel noise of the scores' shape, or null
 */
export function maskedWeight(
  builder: GraphBuilder,
  conv: ConvLayer,
  backbone: Backbone,
  mask: MaskSpec,
  scores: string,
  noise: string | null,
): EffectiveWeight {
  const [outChannels, bits] = maskShape(conv, mask);
  const rows = rowsPerBit(conv, mask);
  const filter = filterRows(conv);
  const padded = bits * rows;
  const weights = builder.constant(
    padRows(dequantize(backbone.convs[conv.name]), outChannels, filter, padded),
    [outChannels, bits, rows],
  );

  const { hard, scoreGradient } = binarizer(builder, mask, scores, noise);
  const perRow = builder.op('Reshape', [hard, builder.ints(outChannels, bits, 1)]);
  let masked = builder.op('Mul', [weights, perRow]);
  if (padded !== filter) {
    const flat = builder.op('Reshape', [masked, builder.ints(outChannels, padded)]);
    masked = builder.op('Slice', [flat, builder.ints(0), builder.ints(filter), builder.ints(1)]);
  }
  return {
    value: builder.op('Reshape', [masked, builder.ints(...weightDims(conv))]),
    gradient: (weightGradient) => {
      let flat = builder.op('Reshape', [weightGradient, builder.ints(outChannels, filter)]);
      if (padded !== filter) flat = builder.op('Pad', [flat, builder.ints(0, 0, 0, padded - filter)]);
      const segments = builder.op('Reshape', [flat, builder.ints(outChannels, bits, rows)]);
      const products = builder.op('Mul', [segments, weights]);
      const hardGradient =
        rows === 1
          ? builder.op('Reshape', [products, builder.ints(outChannels, bits)])
          : builder.op('ReduceSum', [products, builder.ints(2)], { keepdims: 0 });
      return scoreGradient(hardGradient);
    },
  };
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

function binarizer(builder: GraphBuilder, mask: MaskSpec, scores: string, noise: string | null) {
  const threshold = builder.scalar(Math.fround(mask.threshold));
  if (mask.binarizer === 'identity') {
    const hard = builder.op('Cast', [builder.op('Greater', [scores, threshold])], { to: 1 });
    return { hard, scoreGradient: (gradient: string) => gradient };
  }
  let argument = builder.op('Mul', [builder.op('Sub', [scores, threshold]), builder.scalar(mask.slope)]);
  if (noise) argument = builder.op('Add', [argument, noise]);
  // sigmoid(x) ≥ 0.5 where x ≥ 0
  const hard = builder.op('Cast', [builder.op('GreaterOrEqual', [argument, builder.scalar(0)])], { to: 1 });
  return {
    hard,
    scoreGradient: (gradient: string) => {
      const soft = builder.op('Sigmoid', [argument]);
      const slope = builder.op('Mul', [soft, builder.op('Sub', [builder.scalar(1), soft])]);
      return builder.op('Mul', [builder.op('Mul', [gradient, slope]), builder.scalar(mask.slope)]);
    },
  };
}

/** [outC, filter] → [outC, padded], zeros at each row's end. */
function padRows(values: Float32Array, outChannels: number, filter: number, padded: number): Float32Array {
  if (padded === filter) return values;
  const result = new Float32Array(outChannels * padded);
  for (let channel = 0; channel < outChannels; channel++) {
    result.set(values.subarray(channel * filter, (channel + 1) * filter), channel * padded);
  }
  return result;
}
