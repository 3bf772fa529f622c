/** @file What every ONNX graph of ours shares, in training, in inference and exported. */
import type { FoldedNetwork } from '../../adaption/fold.js';
import type { Normalization } from '../../model/backbone.js';
import type { ConvLayer, MaxPoolLayer } from '../../model/graph.js';
import type { GraphBuilder } from './graphBuilder.js';

/** Attributes of Conv, ConvTranspose and pooling nodes. */
export function windowAttributes(window: Pick<ConvLayer | MaxPoolLayer, 'kernel' | 'stride' | 'padding'>) {
  const { kernel, stride, padding } = window;
  return {
    kernel_shape: [kernel, kernel],
    strides: [stride, stride],
    pads: [padding, padding, padding, padding],
  };
}

/** Declares `pixels`, uint8 [batch, height, width, 3], and emits (pixel / 255 − mean) / std, channels first. */
export function emitPixels(
  builder: GraphBuilder,
  batch: number | 'batch',
  imageSize: number,
  { mean, std }: Normalization,
): string {
  const pixels = builder.input('pixels', 'uint8', [batch, imageSize, imageSize, 3]);
  const floats = builder.op('Cast', [builder.op('Transpose', [pixels], { perm: [0, 3, 1, 2] })], { to: 1 });
  const perChannel = (values: readonly number[]) => builder.constant(Float32Array.from(values), [1, 3, 1, 1]);
  const scale = perChannel(std.map((s) => 1 / (255 * s)));
  const shift = perChannel(std.map((s, c) => -mean[c] / s));
  return builder.op('Add', [builder.op('Mul', [floats, scale]), shift]);
}

/** The calibrated clip of a quantize layer. */
export function clipOf(clips: Readonly<Record<string, number>>, name: string): number {
  const clip = clips[name];
  if (!(clip > 0)) throw new Error(`the backbone has no activation clip for ${name}`);
  return clip;
}

/** Real value of one activation level of a quantize layer, in float32. */
export function levelScale(
  { clips, activationBits }: Pick<FoldedNetwork, 'clips' | 'activationBits'>,
  name: string,
): number {
  return Math.fround(clipOf(clips, name) / (2 ** activationBits - 1));
}
