/** @file Facts of layers that every compiled engine computes with. */
import {
  BATCH_NORM_EPSILON,
  type BatchNormLayer,
  type ConvLayer,
  type LinearLayer,
} from '../../model/graph.js';

/** A layer with weights as the matrix products see it: the head is a 1×1 convolution of one pixel per image. */
export interface Window {
  readonly name: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

export function windowOf(layer: ConvLayer | LinearLayer): Window {
  if (layer.kind === 'conv') return layer;
  const { name, inFeatures, outFeatures } = layer;
  return { name, inChannels: inFeatures, outChannels: outFeatures, kernel: 1, stride: 1, padding: 0 };
}

/** Floating-point operations of each of a layer's three products, without padding. @param output pixels of the batch */
export const productFlop = (
  { kernel, inChannels, outChannels }: Window,
  output: { readonly pixels: number },
): number => 2 * output.pixels * kernel ** 2 * inChannels * outChannels;

/** Clip of a quantiser, in float32. @throws Error when the backbone has none */
export function clipOf(clips: Readonly<Record<string, number>>, name: string): number {
  const clip = clips[name];
  if (!(clip > 0)) throw new Error(`activation clip of ${name} is ${clip}, expected a positive number`);
  return Math.fround(clip);
}

/** Largest level of a quantiser; the smallest is 0. */
export const topLevel = (bits: number): number => 2 ** bits - 1;

/** The feature map of a layer. @throws Error when its layer comes later */
export function computed<T>(maps: ReadonlyMap<string, T>, name: string): T {
  const map = maps.get(name);
  if (!map) throw new Error(`layer ${name} is read before it is computed`);
  return map;
}

/** Vectors [channels] with which a batch norm normalises by its running statistics: output = (input − mean) · scale + shift. */
export function frozenNorm(
  { name, channels }: BatchNormLayer,
  tensors: Readonly<Record<string, Float32Array>>,
): Record<'mean' | 'scale' | 'shift', Float32Array> {
  const [weight, bias, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
    (suffix) => tensors[`${name}.${suffix}`],
  );
  const scale = Float32Array.from(
    { length: channels },
    (_, c) => weight[c] / Math.sqrt(variance[c] + BATCH_NORM_EPSILON),
  );
  return { mean, scale, shift: bias };
}
