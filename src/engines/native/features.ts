/** @file Feature maps as they lie in memory: [pixels, channels], channels padded to full vectors. */
import { type ConvLayer, type LayerGraph, type LinearLayer, layerShapes } from '../../model/graph.js';
import { clipOf, topLevel, windowOf } from '../compiled/layers.js';
import type { Addon } from './addon.js';
import type { Tensor } from './program.js';

/** By native/xbm.h's names. */
export type Format = 'float32' | 'levels8' | 'bfloat16' | 'fixed16';

const bytesPerValue: Record<Format, number> = { float32: 4, levels8: 1, bfloat16: 2, fixed16: 2 };

export interface MapShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** Channels with padding. */
  readonly padded: number;
  /** batch · height · width */
  readonly pixels: number;
}

export interface FeatureMap {
  readonly tensor: Tensor;
  readonly shape: MapShape;
  readonly format: 'float32' | 'levels8';
  /** Quantised maps hold levels, in either format: the value of one. 1 for real values. */
  readonly step: number;
}

export const pad = (channels: number, lanes: number): number => Math.ceil(channels / lanes) * lanes;

export function mapShapes(
  graph: LayerGraph,
  batch: number,
  imageSize: number,
  lanes: number,
): Map<string, MapShape> {
  const shapes = new Map<string, MapShape>();
  for (const [name, { channels, height, width }] of layerShapes(graph, imageSize)) {
    const padded = pad(channels, lanes);
    shapes.set(name, { batch, height, width, channels, padded, pixels: batch * height * width });
  }
  return shapes;
}

export function mapBytes(
  { fixed16Channels }: Pick<Addon, 'fixed16Channels'>,
  { pixels, padded }: MapShape,
  format: Format,
): number {
  const scales = format === 'fixed16' ? Math.ceil(padded / fixed16Channels) : 0;
  return pixels * (padded * bytesPerValue[format] + 4 * scales);
}

/** Where a product's rows come from: arguments of the product kernels. */
export interface Geometry {
  readonly batch: number;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly inChannels: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/**
 * Geometry of a convolution or of the head, a 1×1 convolution of one pixel per image. The first convolution reads image
 * columns: each output pixel's window as the channels of one pixel.
 */
export function geometryOf(
  { maxKernel }: Addon,
  layer: ConvLayer | LinearLayer,
  input: MapShape,
  output: MapShape,
  columns: number | null,
): Geometry {
  if (layer.kind === 'conv' && layer.kernel > maxKernel)
    throw new Error(`${layer.name}: the native engine's kernels are of at most ${maxKernel} pixels`);
  const window = columns === null ? windowOf(layer) : { kernel: 1, stride: 1, padding: 0 };
  const source = columns === null ? input : output;
  return {
    batch: input.batch,
    inHeight: source.height,
    inWidth: source.width,
    inChannels: columns ?? input.padded,
    outHeight: output.height,
    outWidth: output.width,
    outChannels: output.padded,
    kernel: window.kernel,
    stride: window.stride,
    padding: window.padding,
  };
}

/** Value of one level of a quantiser. */
export const levelStep = (clips: Readonly<Record<string, number>>, name: string, bits: number): number =>
  Math.fround(clipOf(clips, name) / topLevel(bits));
