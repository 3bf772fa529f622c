/** @file What both precisions compute in float: convolutions of real values, levels, the head. */
import type { FoldedNetwork } from '../../../adaption/fold.js';
import type { ConvLayer } from '../../../model/graph.js';
import { windowAttributes } from '../common.js';
import type { GraphBuilder } from '../graphBuilder.js';
import { batchNormAffine } from './batchNorm.js';
import type { WeightSource } from './weights.js';

/** What a graph of frozen networks is built from; the networks, one per task, share their layers up to the head. */
export interface FrozenContext {
  readonly builder: GraphBuilder;
  readonly networks: readonly FoldedNetwork[];
  readonly weights: WeightSource;
  readonly imageSize: number;
}

/**
 * A convolution [batch, channels, height, width] with its batch norm folded in.
 * @param inputScale real value of 1 in `input`
 */
export function emitFloatConv(
  { builder, networks, weights }: FrozenContext,
  conv: ConvLayer,
  batchNorm: string,
  input: string,
  inputScale = 1,
): string {
  const affine = networks.map((network) => batchNormAffine(network, batchNorm));
  const weight = weights.floats(
    conv,
    affine.map(({ gain }) => Float32Array.from(gain, (g) => g * inputScale)),
  );
  const bias = weights.vector(affine.map(({ shift }) => Float32Array.from(shift)));
  return builder.op('Conv', [input, weight, bias], windowAttributes(conv));
}

/** The head on pooled features [batch, features]; declares `logits` [batch, classes]. */
export function emitHead({ builder, networks, weights }: FrozenContext, name: string, pooled: string): void {
  const { weight, bias } = weights.head(name);
  const logits = builder.op('Gemm', [pooled, weight, bias], { transB: 1 });
  const classes = new Set(networks.map(({ tensors }) => tensors[`${name}.bias`].length));
  const dimension = classes.size === 1 ? [...classes][0] : 'classes';
  builder.output('logits', 'float32', ['batch', dimension], logits);
}

/** uint8 levels 0 … top of a real value. Saturation at 0 is the ReLU's, which may or may not have run. */
export function emitLevels(builder: GraphBuilder, input: string, scale: number, top: number): string {
  const zero = builder.constant(Uint8Array.of(0), []);
  return clipLevels(builder, builder.op('QuantizeLinear', [input, builder.scalar(scale), zero]), top);
}

/** Levels above `top` become `top`; uint8 saturates at 255 by itself. */
export function clipLevels(builder: GraphBuilder, levels: string, top: number): string {
  return top === 255 ? levels : builder.op('Clip', [levels, '', builder.constant(Uint8Array.of(top), [])]);
}
