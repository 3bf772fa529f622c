/**
 * @file The layer graph: one description of a network that every engine, the mask geometry and the
 * hardware mapping read. Layers are listed in topological order; each is named, torchvision-style, and
 * its output carries its name. `input` is the normalised image batch.
 */

interface LayerBase {
  readonly name: string;
  /** Names of the layers whose outputs this one reads; `input` is the image. */
  readonly inputs: readonly string[];
}

/** Convolution without bias; weight [outChannels, inChannels, kernel, kernel]. */
export interface ConvLayer extends LayerBase {
  readonly kind: 'conv';
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  /** Zero padding on every side, pixels. */
  readonly padding: number;
}

/** Batch normalisation as in PyTorch: eps 1e-5, momentum 0.1, unbiased running variance. */
export interface BatchNormLayer extends LayerBase {
  readonly kind: 'batchNorm';
  readonly channels: number;
}

export interface ReluLayer extends LayerBase {
  readonly kind: 'relu';
}

/** Activation quantiser before a convolution: levels 0 … 2^bits − 1 over [0, clip]; identity at full precision. */
export interface QuantizeLayer extends LayerBase {
  readonly kind: 'quantize';
}

export interface MaxPoolLayer extends LayerBase {
  readonly kind: 'maxPool';
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** Residual sum of two tensors of one shape. */
export interface AddLayer extends LayerBase {
  readonly kind: 'add';
}

/** Mean over height and width: [batch, channels, height, width] → [batch, channels]. */
export interface GlobalAveragePoolLayer extends LayerBase {
  readonly kind: 'globalAveragePool';
}

/** The classifier head, full precision, never masked: weight [outFeatures, inFeatures], bias [outFeatures]. */
export interface LinearLayer extends LayerBase {
  readonly kind: 'linear';
  readonly inFeatures: number;
  readonly outFeatures: number;
}

export type Layer =
  | ConvLayer
  | BatchNormLayer
  | ReluLayer
  | QuantizeLayer
  | MaxPoolLayer
  | AddLayer
  | GlobalAveragePoolLayer
  | LinearLayer;

export type LayerKind = Layer['kind'];

export interface LayerGraph {
  /** As in configs: resnet18, resnet50, cifar-resnet20, … */
  readonly network: string;
  readonly inputChannels: number;
  /** Topological order; the last layer is the head. */
  readonly layers: readonly Layer[];
}

export const BATCH_NORM_EPSILON = 1e-5;
export const BATCH_NORM_MOMENTUM = 0.1;

/** All layers of one kind, in graph order. */
export function layersOfKind<K extends LayerKind>(graph: LayerGraph, kind: K): Extract<Layer, { kind: K }>[] {
  return graph.layers.filter((layer): layer is Extract<Layer, { kind: K }> => layer.kind === kind);
}

/** The classifier head: the graph's only linear layer. */
export function headOf(graph: LayerGraph): LinearLayer {
  const heads = layersOfKind(graph, 'linear');
  if (heads.length !== 1)
    throw new Error(`${graph.network}: expected one linear layer, found ${heads.length}`);
  return heads[0];
}

/** The same graph with a head of `classes` outputs. */
export function withClasses(graph: LayerGraph, classes: number): LayerGraph {
  return {
    ...graph,
    layers: graph.layers.map((layer) =>
      layer.kind === 'linear' ? { ...layer, outFeatures: classes } : layer,
    ),
  };
}

/** Output size of a convolution or pool along one axis, pixels. */
export function outputSize(
  inputSize: number,
  window: { kernel: number; stride: number; padding: number },
): number {
  return Math.floor((inputSize + 2 * window.padding - window.kernel) / window.stride) + 1;
}

/** Channels, height and width of every layer's output (and of `input`) for square images of `imageSize` pixels. */
export function layerShapes(
  graph: LayerGraph,
  imageSize: number,
): Map<string, { channels: number; height: number; width: number }> {
  const shapes = new Map([['input', { channels: graph.inputChannels, height: imageSize, width: imageSize }]]);
  for (const layer of graph.layers) {
    const input = shapes.get(layer.inputs[0]);
    if (!input)
      throw new Error(`${graph.network}: layer ${layer.name} reads ${layer.inputs[0]}, which comes later`);
    switch (layer.kind) {
      case 'conv':
      case 'maxPool': {
        const size = outputSize(input.height, layer);
        if (size < 1)
          throw new Error(`${graph.network}: ${imageSize}-pixel images are too small for ${layer.name}`);
        const channels = layer.kind === 'conv' ? layer.outChannels : input.channels;
        shapes.set(layer.name, { channels, height: size, width: size });
        break;
      }
      case 'globalAveragePool':
        shapes.set(layer.name, { channels: input.channels, height: 1, width: 1 });
        break;
      case 'linear':
        shapes.set(layer.name, { channels: layer.outFeatures, height: 1, width: 1 });
        break;
      default:
        shapes.set(layer.name, input);
    }
  }
  return shapes;
}
