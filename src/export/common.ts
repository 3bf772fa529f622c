/** @file What both precisions compute in float: pixels, convolutions of real values, the head. */
import type { FoldedNetwork } from '../adaption/fold.js';
import type { GraphBuilder } from '../engines/onnx/graphBuilder.js';
import type { ConvLayer, MaxPoolLayer } from '../model/graph.js';
import { batchNormAffine } from './batchNorm.js';
import type { WeightSource } from './weights.js';

/** What an exported graph is built from; the networks, one per task, share their layers up to the head. */
export interface ExportContext {
  readonly builder: GraphBuilder;
  readonly networks: readonly FoldedNetwork[];
  readonly weights: WeightSource;
  readonly imageSize: number;
}

/** Declares `pixels`, uint8 [batch, height, width, 3], and emits (pixel / 255 − mean) / std, channels first. */
export function emitPixels({ builder, imageSize, networks }: ExportContext): string {
  const { mean, std } = networks[0].normalization;
  const pixels = builder.input('pixels', 'uint8', ['batch', imageSize, imageSize, 3]);
  const floats = builder.op('Cast', [builder.op('Transpose', [pixels], { perm: [0, 3, 1, 2] })], { to: 1 });
  const perChannel = (values: readonly number[]) => builder.constant(Float32Array.from(values), [1, 3, 1, 1]);
  const scale = perChannel(std.map((s) => 1 / (255 * s)));
  const shift = perChannel(std.map((s, c) => -mean[c] / s));
  return builder.op('Add', [builder.op('Mul', [floats, scale]), shift]);
}

/**
 * A convolution [batch, channels, height, width] with its batch norm folded in.
 * @param inputScale real value of 1 in `input`
 */
export function emitFloatConv(
  { builder, networks, weights }: ExportContext,
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
export function emitHead({ builder, networks, weights }: ExportContext, name: string, pooled: string): void {
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

/** Real value of one activation level of a quantize layer. */
export function clipScale({ clips, activationBits }: FoldedNetwork, name: string): number {
  const clip = clips[name];
  if (!(clip > 0)) throw new Error(`the backbone has no activation clip for ${name}`);
  return Math.fround(clip / (2 ** activationBits - 1));
}

/** Attributes of convolutions and pooling nodes. */
export function windowAttributes(window: Pick<ConvLayer | MaxPoolLayer, 'kernel' | 'stride' | 'padding'>) {
  const { kernel, stride, padding } = window;
  return {
    kernel_shape: [kernel, kernel],
    strides: [stride, stride],
    pads: [padding, padding, padding, padding],
  };
}
