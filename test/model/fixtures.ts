/** @file Small backbones with pseudo-random content for tests. */
import { type Backbone, type ConvWeights, IMAGENET_NORMALIZATION } from '../../src/model/backbone.js';
import { headOf, type LayerGraph, layersOfKind } from '../../src/model/graph.js';
import { sealBackbone } from '../../src/model/hash.js';
import { buildNetwork } from '../../src/model/networks.js';
import { hashString, uniform } from '../../src/random.js';

/** Uniform values in ±range, a function of the name alone. */
export function noise(name: string, length: number, range = 1): Float32Array {
  const key = hashString(name);
  return Float32Array.from({ length }, (_, i) => range * (2 * uniform(key, i) - 1));
}

/** A backbone of the given widths with random levels (or values) everywhere. */
export function randomBackbone(
  weightBits: number,
  activationBits: number,
  graph: LayerGraph = buildNetwork('cifar-resnet8', 5),
): Backbone {
  const convs: Record<string, ConvWeights> = {};
  const batchNorms: Record<string, Float32Array> = {};
  for (const conv of layersOfKind(graph, 'conv')) {
    const values = noise(conv.name, conv.outChannels * conv.inChannels * conv.kernel ** 2);
    const limit = 2 ** (weightBits - 1) - 1;
    convs[conv.name] =
      weightBits === 32
        ? { kind: 'float', values }
        : {
            kind: 'levels',
            levels: Int8Array.from(values, (value) => Math.round(value * limit)),
            scales: noise(`${conv.name}.scales`, conv.outChannels).map((x) => 0.02 + 0.01 * x),
            bits: weightBits,
          };
  }
  for (const { name, channels } of layersOfKind(graph, 'batchNorm')) {
    batchNorms[`${name}.weight`] = noise(`${name}.weight`, channels, 0.5).map((x) => 1 + x);
    batchNorms[`${name}.bias`] = noise(`${name}.bias`, channels, 0.5);
    batchNorms[`${name}.running_mean`] = noise(`${name}.running_mean`, channels);
    batchNorms[`${name}.running_var`] = noise(`${name}.running_var`, channels, 0.5).map((x) => 1 + x);
  }
  const head = headOf(graph);
  return sealBackbone({
    graph,
    convs,
    batchNorms,
    clips:
      activationBits === 32
        ? {}
        : Object.fromEntries(
            layersOfKind(graph, 'quantize').map((q, i) => [q.name, Math.fround(1.1 + i / 7)]),
          ),
    weightBits,
    activationBits,
    head: {
      weight: noise('fc.weight', head.outFeatures * head.inFeatures),
      bias: noise('fc.bias', head.outFeatures),
    },
    classes: [],
    normalization: IMAGENET_NORMALIZATION,
  });
}
