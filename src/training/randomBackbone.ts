/** @file A network before any training: what `xbm backbone train` starts from. */
import { filterRows, weightCount } from '../adaption/geometry.js';
import {
  type Backbone,
  type ConvWeights,
  IMAGENET_NORMALIZATION,
  type Normalization,
} from '../model/backbone.js';
import { type ConvLayer, headOf, type LayerGraph, layersOfKind } from '../model/graph.js';
import { sealBackbone } from '../model/hash.js';
import { hashString, uniform } from '../random.js';

/**
 * Full-precision weights before training: convolutions Kaiming-normal with fan-out (arXiv:1502.01852, as torchvision's
 * ResNet), batch norm 1 and 0, a head of zeros that no training reads.
 */
export function randomBackbone(
  graph: LayerGraph,
  seed: number,
  normalization: Normalization = IMAGENET_NORMALIZATION,
): Backbone {
  const convs: Record<string, ConvWeights> = {};
  for (const conv of layersOfKind(graph, 'conv'))
    convs[conv.name] = { kind: 'float', values: kaiming(conv, seed) };
  const batchNorms: Record<string, Float32Array> = {};
  for (const { name, channels } of layersOfKind(graph, 'batchNorm')) {
    batchNorms[`${name}.weight`] = new Float32Array(channels).fill(1);
    batchNorms[`${name}.bias`] = new Float32Array(channels);
    batchNorms[`${name}.running_mean`] = new Float32Array(channels);
    batchNorms[`${name}.running_var`] = new Float32Array(channels).fill(1);
  }
  const { inFeatures, outFeatures } = headOf(graph);
  return sealBackbone({
    graph,
    convs,
    batchNorms,
    clips: {},
    weightBits: 32,
    activationBits: 32,
    head: { weight: new Float32Array(inFeatures * outFeatures), bias: new Float32Array(outFeatures) },
    classes: [],
    normalization,
  });
}

/** Normal with variance 2 / (outChannels · kernel²), by the Box–Muller transform. */
function kaiming(conv: ConvLayer, seed: number): Float32Array {
  const fanOut = (conv.outChannels * filterRows(conv)) / conv.inChannels;
  const deviation = Math.sqrt(2 / fanOut);
  const key = hashString(conv.name);
  return Float32Array.from({ length: weightCount(conv) }, (_, i) => {
    const radius = Math.sqrt(-2 * Math.log(uniform(seed, key, i, 0)));
    return deviation * radius * Math.cos(2 * Math.PI * uniform(seed, key, i, 1));
  });
}
