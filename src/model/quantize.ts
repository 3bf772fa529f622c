/**
 * @file Weight quantisation: levels −L … L, L = 2^(bits−1) − 1, and one scale per output channel or per layer, so that
 * Σ (w − scale · level)² is smallest.
 */
import { type Backbone, type ConvWeights, levelLimit } from './backbone.js';
import { layersOfKind } from './graph.js';
import { sealBackbone } from './hash.js';
import { roundHalfEven } from './rounding.js';
import { bestScale } from './scaleSearch.js';

export type WeightScale = 'channel' | 'layer';

/** The nearest level; the quotient is rounded to float32 first, the precision that engines divide in. */
export function weightLevel(weight: number, scale: number, limit: number): number {
  return scale === 0 ? 0 : roundHalfEven(Math.max(-limit, Math.min(limit, Math.fround(weight / scale))));
}

/** Weights of one convolution at `bits` bits. @param outChannels its weights are [outChannels, …] */
export function quantizeWeights(
  values: Float32Array,
  outChannels: number,
  bits: number,
  per: WeightScale = 'channel',
): Extract<ConvWeights, { kind: 'levels' }> {
  const limit = levelLimit(bits);
  const perChannel = values.length / outChannels;
  const scales = new Float32Array(outChannels);
  if (per === 'layer') {
    scales.fill(bestScale(values, limit));
  } else {
    for (let o = 0; o < outChannels; o++)
      scales[o] = bestScale(values.subarray(o * perChannel, (o + 1) * perChannel), limit);
  }
  const levels = new Int8Array(values.length);
  for (let o = 0, i = 0; o < outChannels; o++) {
    for (const end = i + perChannel; i < end; i++) levels[i] = weightLevel(values[i], scales[o], limit);
  }
  return { kind: 'levels', levels, scales, bits };
}

/** All convolutions of a full-precision backbone at `bits` bits; everything else as it is. */
export function quantizeBackbone(backbone: Backbone, bits: number, per: WeightScale = 'channel'): Backbone {
  if (bits === 32) return backbone;
  const convs: Record<string, ConvWeights> = {};
  for (const { name, outChannels } of layersOfKind(backbone.graph, 'conv')) {
    const weights = backbone.convs[name];
    if (weights.kind !== 'float') throw new Error(`${name} is quantised already`);
    convs[name] = quantizeWeights(weights.values, outChannels, bits, per);
  }
  return sealBackbone({ ...backbone, convs, weightBits: bits });
}
