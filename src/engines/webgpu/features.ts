/** @file Feature maps and weights as they lie on the device: channels padded to quads, groups of four. */
import { type LayerGraph, layerShapes } from '../../model/graph.js';
import type { Window } from '../compiled/layers.js';
import type { Geometry, WeightLayout } from './kernels/convolution.js';
import { type FeatureFormat, formats } from './kernels/formats.js';
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
  /** What one stands for: the value of one level; 1 for plain values. */
  readonly step: number;
  /** Of a convolution's output, which is kept as {@link ConvolutionSums}. */
  readonly sums?: ConvolutionSums;
  /** Where the product has computed them on its way. */
  readonly statistics?: ChunkStatistics;
}

/** Of each chunk of pixels and channel the mean and the sum of squared deviations from it; see statisticsSumsKernel. */
export interface ChunkStatistics {
  readonly sums: Tensor;
  readonly chunks: number;
  readonly pixelsPerChunk: number;
}

/**
 * A convolution stores `scale` · Σ input · weight, in levels where it reads and has levels: integers times a power of two.
 * Only a batch norm reads them, and normalises what one of each channel stands for away.
 */
export interface ConvolutionSums {
  /** 1, or the power of two that brings the largest possible sum into float16. */
  readonly scale: number;
  /** What a stored 1 stands for, per channel, padded: the step of the input · the scale of the weights / `scale`. */
  readonly units: Float32Array<ArrayBuffer>;
}

/**
 * What a stored 1 stands for, per channel, padded, where a batch norm reads a map.
 * @throws Error for levels, which element-wise kernels multiply by their step themselves
 */
export function normalizedUnits(map: FeatureMap): Float32Array<ArrayBuffer> {
  if (map.format === 'levels') throw new Error('a batch norm reads levels');
  return channelUnits(map);
}

/** What a stored 1 stands for, per channel, padded. */
export function channelUnits({ shape, step, sums }: FeatureMap): Float32Array<ArrayBuffer> {
  return sums?.units ?? new Float32Array(4 * shape.quads).fill(step);
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
  pixels * quads * formats[format].bytes;

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

/** A layer as its products see it. Copies of the input's channels lie side by side and have the same weights. */
export interface DeviceWindow extends Window {
  /** 2: a float32 input as two float16 values, its upper 11 bits and what is missing from them. */
  readonly copies: 1 | 2;
}

export const inQuadsOf = ({ inChannels, copies }: DeviceWindow): number => copies * quadsOf(inChannels);

/** Rows of the padded weight matrix: taps · padded input channels. */
export const weightRows = (window: DeviceWindow): number => window.kernel ** 2 * 4 * inQuadsOf(window);

/** Values of the padded weight matrix. */
export const weightCount = (window: DeviceWindow): number =>
  weightRows(window) * quadsOf(window.outChannels) * 4;

/** [outC, inC, k, k] → [taps · inC, outC], or as filters [outC, taps · inC], padded with zeros. */
export function padWeights(
  values: ArrayLike<number>,
  window: DeviceWindow,
  order: WeightLayout['order'],
): Float32Array<ArrayBuffer> {
  const { inChannels, outChannels, kernel, copies } = window;
  const taps = kernel ** 2;
  const [inPadded, outPadded] = [4 * inQuadsOf(window), 4 * quadsOf(outChannels)];
  const copyStep = inPadded / copies;
  const [rowStep, outStep] = order === 'rows' ? [outPadded, 1] : [1, taps * inPadded];
  const padded = new Float32Array(taps * inPadded * outPadded);
  let i = 0;
  for (let out = 0; out < outChannels; out++) {
    for (let channel = 0; channel < inChannels; channel++) {
      for (let tap = 0; tap < taps; tap++) {
        for (let copy = 0; copy < copies; copy++) {
          padded[(tap * inPadded + copy * copyStep + channel) * rowStep + out * outStep] = values[i];
        }
        i++;
      }
    }
  }
  return padded;
}

/** The longest run of 16, 8 or 4 that divides a map's padded channels. */
export const runOf = (quads: number): number => (quads % 4 === 0 ? 16 : quads % 2 === 0 ? 8 : 4);

/**
 * Padded [batch · pixels, quads] → [batch, channels, height, width].
 * @param units what a 1 of each channel stands for
 */
export function unpadMap(values: Float32Array, shape: MapShape, units: Float32Array): Float32Array {
  const { batch, height, width, channels, quads } = shape;
  const pixels = height * width;
  const result = new Float32Array(batch * channels * pixels);
  for (let image = 0; image < batch; image++) {
    for (let pixel = 0; pixel < pixels; pixel++) {
      const source = (image * pixels + pixel) * quads * 4;
      for (let channel = 0; channel < channels; channel++) {
        result[(image * channels + channel) * pixels + pixel] = values[source + channel] * units[channel];
      }
    }
  }
  return result;
}
