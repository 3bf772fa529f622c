/** @file Feature maps and weights as they lie on the device: channels padded to quads, groups of four. */
import { type LayerGraph, layerShapes } from '../../model/graph.js';
import type { Window } from '../compiled/layers.js';
import type { FeatureFormat, Geometry } from './kernels/convolution.js';
import type { Tensor } from './plan.js';

/** [batch · height · width, channels] */
export interface MapShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** ceil(channels / 4) */
  readonly quads: number;
  /** batch · height · width */
  readonly pixels: number;
}

export interface FeatureMap {
  readonly tensor: Tensor;
  readonly shape: MapShape;
  readonly format: FeatureFormat;
  /** Value of one level; 1 for floats. */
  readonly step: number;
}

export const quadsOf = (channels: number): number => Math.ceil(channels / 4);

export function mapShapes(graph: LayerGraph, batch: number, imageSize: number): Map<string, MapShape> {
  const shapes = new Map<string, MapShape>();
  for (const [name, { channels, height, width }] of layerShapes(graph, imageSize)) {
    const pixels = batch * height * width;
    shapes.set(name, { batch, height, width, channels, quads: quadsOf(channels), pixels });
  }
  return shapes;
}

export const mapBytes = ({ pixels, quads }: MapShape, format: FeatureFormat): number =>
  pixels * quads * (format === 'levels' ? 4 : 16);

export function geometryOf(
  { kernel, stride, padding }: Pick<Window, 'kernel' | 'stride' | 'padding'>,
  input: MapShape,
  output: MapShape,
): Geometry {
  return {
    batch: input.batch,
    inHeight: input.height,
    inWidth: input.width,
    inQuads: input.quads,
    outHeight: output.height,
    outWidth: output.width,
    outQuads: output.quads,
    kernel,
    stride,
    padding,
  };
}

/** Input and output pixels correspond one to one. */
export const isDense = ({ kernel, stride, padding }: Window): boolean =>
  kernel === 1 && stride === 1 && padding === 0;

/** Rows of the padded weight matrix: taps · padded input channels. */
export const weightRows = ({ kernel, inChannels }: Window): number => kernel ** 2 * 4 * quadsOf(inChannels);

/** Values of the padded weight matrix. */
export const weightCount = (window: Window): number => weightRows(window) * quadsOf(window.outChannels) * 4;

/** [outC, inC, k, k] → [taps · inC, outC], padded with zeros. */
export function padWeights(values: ArrayLike<number>, window: Window): Float32Array<ArrayBuffer> {
  const { inChannels, outChannels, kernel } = window;
  const taps = kernel ** 2;
  const [inPadded, outPadded] = [4 * quadsOf(inChannels), 4 * quadsOf(outChannels)];
  const padded = new Float32Array(taps * inPadded * outPadded);
  let i = 0;
  for (let out = 0; out < outChannels; out++) {
    for (let channel = 0; channel < inChannels; channel++) {
      for (let tap = 0; tap < taps; tap++) {
        padded[(tap * inPadded + channel) * outPadded + out] = values[i++];
      }
    }
  }
  return padded;
}

/** Padded [batch · pixels, quads] → [batch, channels, height, width]. */
export function unpadMap(values: Float32Array, shape: MapShape): Float32Array {
  const { batch, height, width, channels, quads } = shape;
  const pixels = height * width;
  const result = new Float32Array(batch * channels * pixels);
  for (let image = 0; image < batch; image++) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      const source = (image * pixels + pixel) * quads * 4;
      for (let channel = 0; channel < channels; channel++) {
        result[(image * channels + channel) * pixels + pixel] = values[source + channel];
      }
    }
  }
  return result;
}
