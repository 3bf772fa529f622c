/** @file What the cost model knows of a network: its weight matrices, and how often each is applied per image. */
import { filterRows } from '../adaption/geometry.js';
import { type LayerGraph, layerShapes } from '../model/graph.js';

/** A convolution or matrix product with constant weights, unrolled to `groups` matrices. */
export interface WeightLayer {
  readonly name: string;
  readonly kind: 'conv' | 'linear';
  /** Rows of one group's matrix: inC/groups·k·k, or the input features. */
  readonly rows: number;
  /** Outputs of all groups together. */
  readonly outputs: number;
  readonly groups: number;
  /** Output positions per image: every array of the layer is activated once for each. */
  readonly positions: number;
  /** Reads the image: its inputs are pixels. */
  readonly first: boolean;
  /** The classifier head; see the policy `head`. */
  readonly head: boolean;
}

export interface CrossbarNetwork {
  readonly network: string;
  /** One input in words: `224×224`. */
  readonly input: string;
  readonly layers: readonly WeightLayer[];
  /** Channels of all batch-norm layers. */
  readonly batchNormChannels: number;
  /** Inputs of the classifier head; null when the network has no linear head. */
  readonly headFeatures: number | null;
}

/** The weight layers of a layer graph at an input size. */
export function crossbarNetwork(graph: LayerGraph, imageSize: number): CrossbarNetwork {
  const shapes = layerShapes(graph, imageSize);
  const layers: WeightLayer[] = [];
  let batchNormChannels = 0;
  let headFeatures: number | null = null;
  for (const layer of graph.layers) {
    if (layer.kind === 'conv') {
      const output = shapes.get(layer.name)!;
      layers.push({
        name: layer.name,
        kind: 'conv',
        rows: filterRows(layer),
        outputs: layer.outChannels,
        groups: 1,
        positions: output.height * output.width,
        first: layer.inputs[0] === 'input',
        head: false,
      });
    } else if (layer.kind === 'linear') {
      headFeatures = layer.inFeatures;
      layers.push({
        name: layer.name,
        kind: 'linear',
        rows: layer.inFeatures,
        outputs: layer.outFeatures,
        groups: 1,
        positions: 1,
        first: false,
        head: true,
      });
    } else if (layer.kind === 'batchNorm') {
      batchNormChannels += layer.channels;
    }
  }
  return {
    network: graph.network,
    input: `${imageSize}×${imageSize}`,
    layers,
    batchNormChannels,
    headFeatures,
  };
}

/** The same network with a head of `classes` outputs. */
export function withHead(network: CrossbarNetwork, classes: number): CrossbarNetwork {
  const layers = network.layers.map((layer) => (layer.head ? { ...layer, outputs: classes } : layer));
  return { ...network, layers };
}

/** The layers that sit in arrays: all but the head, unless the description maps it too. */
export function mappedLayers(network: CrossbarNetwork, head: 'digital' | 'mapped'): readonly WeightLayer[] {
  return head === 'mapped' ? network.layers : network.layers.filter((layer) => !layer.head);
}

/** Weights of a layer. */
export function layerWeights(layer: WeightLayer): number {
  return layer.rows * layer.outputs;
}

/** Column segments of `arrayRows` rows of a layer: mask bits at column granularity. */
export function columnSegments(layer: WeightLayer, arrayRows: number): number {
  return layer.outputs * Math.ceil(layer.rows / arrayRows);
}
