/** @file Emits the dispatches of the forward pass. */
import type { Normalization } from '../../model/backbone.js';
import type { BatchNormLayer, ConvLayer, LinearLayer, MaxPoolLayer } from '../../model/graph.js';
import {
  type FusedGraph,
  feedsBatchNormOnly,
  groupAfter,
  layersOfNode,
  type PointwiseGroup,
} from '../compiled/fusion.js';
import { clipOf, computed, productFlop, topLevel } from '../compiled/layers.js';
import {
  type ChunkStatistics,
  type ConvolutionSums,
  type FeatureMap,
  geometryOf,
  isDense,
  type MapShape,
  mapBytes,
  quadsOf,
  runOf,
} from './features.js';
import { linearWorkgroups } from './kernel.js';
import { sumBytes } from './kernels/channelSums.js';
import { forwardKernel, forwardWeights, type ProductPath } from './kernels/convolution.js';
import { biasKernel, normalizeKernel } from './kernels/ends.js';
import type { FeatureFormat } from './kernels/formats.js';
import {
  type GroupShape,
  groupBuffers,
  groupForwardKernel,
  groupParams,
  hasStep,
} from './kernels/pointwise.js';
import { averagePoolKernel, maxPoolKernel } from './kernels/pools.js';
import { productGrid } from './kernels/product.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';
import { ENOUGH_WORKGROUPS, type Products, type Weights } from './products.js';

export interface ForwardContext {
  readonly builder: PlanBuilder;
  readonly fused: FusedGraph;
  readonly shapes: ReadonlyMap<string, MapShape>;
  readonly clips: Readonly<Record<string, number>>;
  readonly activationBits: number;
  readonly normalization: Normalization;
  /** RGB bytes of the batch. */
  readonly pixels: Tensor;
  readonly products: Products;
  weights(layer: ConvLayer | LinearLayer): Weights;
  /** Batch norms' coefficients, and where each one's lie, in quads. */
  readonly coefficients: Tensor;
  readonly normOffsets: ReadonlyMap<string, number>;
  /** Whether batch norms normalise by the batch's statistics. */
  readonly usesBatchStatistics: boolean;
  /** Whether nobody but its batch norm will ever read a convolution's output, nor the values of the group after it. */
  isTransient(layer: ConvLayer, group: PointwiseGroup): boolean;
  /** Emits what turns a batch norm's input into its coefficients; nothing where statistics are frozen. */
  statistics(layer: BatchNormLayer, input: FeatureMap): void;
  /** The head's bias: a tensor, and where in it the bias starts. */
  readonly bias: { readonly tensors: Tensor; readonly offset: number };
}

export interface ForwardValues {
  /** What lies in memory, by layer name and `input`. */
  readonly maps: ReadonlyMap<string, FeatureMap>;
  /** Which pixel won each window, by max pool. */
  readonly winners: ReadonlyMap<string, Tensor>;
}

export function emitForward(context: ForwardContext): ForwardValues {
  const { builder, shapes } = context;
  const maps = new Map<string, FeatureMap>();
  const winners = new Map<string, Tensor>();
  const withProduct = new Set<PointwiseGroup>();

  const make = (
    name: string,
    how: Partial<Omit<FeatureMap, 'tensor' | 'shape'>> & { copies?: number } = {},
  ): FeatureMap => {
    const { format = 'float32', step = 1, copies = 1, ...lies } = how;
    const one = shapes.get(name)!;
    const shape = { ...one, quads: copies * one.quads };
    const tensor = builder.transient(name, mapBytes(shape, format));
    const map = { ...lies, tensor, shape, format, step };
    maps.set(name, map);
    return map;
  };
  const mapOf = (name: string): FeatureMap => computed(maps, name);
  const floatsOf = (name: string): FeatureMap => {
    const map = mapOf(name);
    if (map.format !== 'float32') throw new Error(`pools read floats, and ${name} lies in memory as levels`);
    return map;
  };

  const readers = context.fused.nodes.filter((node) =>
    layersOfNode(node).some(({ inputs }) => inputs[0] === 'input'),
  );
  const splitting = readers.filter(
    (node) => node.kind === 'conv' && context.weights(node).window.copies === 2,
  );
  if (splitting.length > 0 && splitting.length < readers.length)
    throw new Error('only some of the layers that read the input read it as two values');
  emitNormalize(context, make('input', splitting.length > 0 ? { format: 'float16', copies: 2 } : {}));
  for (const node of context.fused.nodes) {
    switch (node.kind) {
      case 'conv': {
        const input = mapOf(node.inputs[0]);
        const path = productPath(context, node, input);
        const group = context.usesBatchStatistics ? null : groupAfter(context.fused, node);
        if (group && context.isTransient(node, group)) {
          const product = make(node.name, convolutionSums(context, node, input, 'float32'));
          makeOutputs(group);
          emitProduct(context, node, path, input, product, { group, maps });
          withProduct.add(group);
          break;
        }
        const statistics = chunkStatistics(context, node, path);
        const output = make(node.name, { ...convolutionSums(context, node, input), statistics });
        emitProduct(context, node, path, input, output);
        break;
      }
      case 'linear': {
        const [input, logits] = [mapOf(node.inputs[0]), make(node.name)];
        emitProduct(context, node, productPath(context, node, input), input, logits);
        emitBias(context, node, logits);
        break;
      }
      case 'maxPool':
        winners.set(node.name, emitMaxPool(context, node, floatsOf(node.inputs[0]), make(node.name)));
        break;
      case 'globalAveragePool': {
        const [input, output] = [floatsOf(node.inputs[0]), make(node.name)];
        const { batch, height, width, quads } = input.shape;
        builder.dispatch(averagePoolKernel, {
          params: { batch, pixels: height * width, quads },
          tensors: { x: input.tensor, y: output.tensor },
          workgroups: linearWorkgroups(batch * quads),
        });
        break;
      }
      case 'group':
        if (withProduct.has(node)) break;
        makeOutputs(node);
        emitGroup(context, node, maps);
    }
  }
  return { maps, winners };

  /** Of a group whose inputs are computed, and its batch norms' coefficients. */
  function makeOutputs({ members, outputs }: PointwiseGroup): void {
    for (const member of members) {
      if (member.kind === 'batchNorm') context.statistics(member, mapOf(member.inputs[0]));
    }
    const levels = topLevel(context.activationBits);
    for (const name of outputs) {
      const quantized = members.some((member) => member.name === name && member.kind === 'quantize');
      if (quantized) make(name, { format: 'levels', step: clipOf(context.clips, name) / levels });
      else make(name);
    }
  }
}

/** How a convolution's output lies in memory. @param wanted its format, where it is not free */
function convolutionSums(
  { fused, weights, products, activationBits }: ForwardContext,
  layer: ConvLayer,
  input: FeatureMap,
  wanted?: FeatureFormat,
): { format: FeatureFormat; sums: ConvolutionSums } {
  if (!feedsBatchNormOnly(fused, layer))
    throw new Error(`${layer.name} feeds something else than one batch norm`);
  const { scales, limit } = weights(layer);
  const rows = layer.kernel ** 2 * layer.inChannels;
  const largest =
    input.format === 'levels' && limit !== null ? topLevel(activationBits) * limit * rows : null;
  // 11 bits err by far less than a level of 4 bits, but not than one of 8.
  const fits = products.halfMaps && largest !== null && activationBits <= 4;
  const format = wanted ?? (fits ? 'float16' : 'float32');
  const scale = format === 'float16' ? Math.min(1, 2 ** (15 - Math.ceil(Math.log2(largest!)))) : 1;
  const units = new Float32Array(4 * quadsOf(layer.outChannels)).fill(1);
  units.set(scales.map((value) => (value * input.step) / scale));
  return { format, sums: { scale, units } };
}

/** What a group's kernels are generated from, once its inputs and outputs have their maps. */
export function groupShape(
  group: PointwiseGroup,
  maps: ReadonlyMap<string, FeatureMap>,
  { products }: Pick<ForwardContext, 'products'>,
): GroupShape {
  const formats = [...group.inputs, ...group.outputs].map((name) => [name, maps.get(name)!.format] as const);
  return { group, formats: new Map(formats), gradients: products.gradientFormat };
}

/** Parameters that all kernels of a group share. */
export function groupParameters(
  context: Pick<ForwardContext, 'clips' | 'activationBits' | 'normOffsets'>,
  shape: GroupShape,
  maps: ReadonlyMap<string, FeatureMap>,
): Record<string, number> {
  const { group } = shape;
  const { pixels, quads } = maps.get(group.inputs[0])!.shape;
  const params: Record<string, number> = { size: pixels * quads, quads };
  for (const name of group.inputs) {
    if (hasStep(shape.formats.get(name)!)) params[groupParams.inputStep(shape, name)] = maps.get(name)!.step;
  }
  for (const { kind, name } of group.members) {
    if (kind === 'batchNorm') params[groupParams.norm(shape, name)] = context.normOffsets.get(name)!;
    if (kind === 'quantize') {
      params[groupParams.clip(shape, name)] = clipOf(context.clips, name);
      params[groupParams.levels(shape, name)] = topLevel(context.activationBits);
    }
  }
  return params;
}

/** Buffers of a group's inputs and coefficients, as all its kernels bind them. */
export function groupInputs(
  { coefficients }: Pick<ForwardContext, 'coefficients'>,
  shape: GroupShape,
  maps: ReadonlyMap<string, FeatureMap>,
): Record<string, Tensor> {
  const inputs = shape.group.inputs.map((name) => [groupBuffers.input(shape, name), maps.get(name)!.tensor]);
  return { ...Object.fromEntries(inputs), coefficients };
}

/** What the forward kernel of a group is called with. */
function groupCall(
  context: ForwardContext,
  group: PointwiseGroup,
  maps: ReadonlyMap<string, FeatureMap>,
): { shape: GroupShape; params: Record<string, number>; tensors: Record<string, Tensor> } {
  const shape = groupShape(group, maps, context);
  const params = groupParameters(context, shape, maps);
  const tensors = groupInputs(context, shape, maps);
  for (const name of group.outputs) tensors[groupBuffers.output(shape, name)] = maps.get(name)!.tensor;
  return { shape, params, tensors };
}

function emitGroup(
  context: ForwardContext,
  group: PointwiseGroup,
  maps: ReadonlyMap<string, FeatureMap>,
): void {
  const { shape, params, tensors } = groupCall(context, group, maps);
  const workgroups = linearWorkgroups(params.size);
  context.builder.dispatch(groupForwardKernel(shape), { params, tensors, workgroups });
}

function emitNormalize({ builder, normalization, pixels }: ForwardContext, output: FeatureMap): void {
  const [meanRed, meanGreen, meanBlue] = normalization.mean;
  const [deviationRed, deviationGreen, deviationBlue] = normalization.std;
  builder.dispatch(normalizeKernel(output.format === 'float16' ? 'float16' : 'float32'), {
    params: {
      pixels: output.shape.pixels,
      meanRed,
      meanGreen,
      meanBlue,
      deviationRed,
      deviationGreen,
      deviationBlue,
    },
    tensors: { bytes: pixels, y: output.tensor },
    workgroups: linearWorkgroups(output.shape.pixels),
  });
}

const extentOf = ({ pixels, quads }: MapShape) => ({ rows: pixels, columns: 4 * quads });

function productPath(
  context: ForwardContext,
  layer: ConvLayer | LinearLayer,
  { format }: FeatureMap,
): ProductPath {
  const { products, activationBits, shapes } = context;
  const { onMatrixUnits } = context.weights(layer);
  const extent = extentOf(shapes.get(layer.name)!);
  return products.path(onMatrixUnits, extent, ENOUGH_WORKGROUPS, products.numbers(format, activationBits));
}

/** What a convolution on matrix units can compute for the batch norm that reads it: one pass over its output less. */
function chunkStatistics(
  { builder, shapes, usesBatchStatistics }: ForwardContext,
  { name }: ConvLayer,
  path: ProductPath,
): ChunkStatistics | undefined {
  if (!usesBatchStatistics || path.kind === 'float') return undefined;
  const { pixels, quads } = shapes.get(name)!;
  const pixelsPerChunk = path.tile.subgroupRows;
  const chunks = Math.ceil(pixels / pixelsPerChunk);
  return {
    sums: builder.transient(`statistics of ${name}`, sumBytes(quads, chunks)),
    chunks,
    pixelsPerChunk,
  };
}

function emitProduct(
  context: ForwardContext,
  layer: ConvLayer | LinearLayer,
  path: ProductPath,
  input: FeatureMap,
  output: FeatureMap,
  after?: { readonly group: PointwiseGroup; readonly maps: ReadonlyMap<string, FeatureMap> },
): void {
  const weights = context.weights(layer);
  const { window } = weights;
  const group = after && groupCall(context, after.group, after.maps);
  const kernel = forwardKernel({
    path,
    dense: isDense(window),
    inRun: runOf(input.shape.quads),
    outRun: runOf(output.shape.quads),
    input: input.format,
    output: output.format,
    statistics: output.statistics !== undefined,
    epilogue: group && { shape: group.shape, input: layer.name },
  });
  context.builder.dispatch(kernel, {
    params: {
      ...geometryOf(window, input.shape, output.shape),
      factor: productFactor(input, output),
      ...group?.params,
    },
    tensors: {
      x: input.tensor,
      w: weights.in(forwardWeights(path)),
      y: output.tensor,
      ...group?.tensors,
      ...(output.statistics ? { sums: output.statistics.sums } : {}),
    },
    workgroups: productGrid(path.tile, extentOf(output.shape)),
    flop: productFlop(window, output.shape),
  });
}

/** By what a product's sums are multiplied when they are stored. */
export const productFactor = (input: FeatureMap, output: FeatureMap): number =>
  output.sums?.scale ?? input.step;

/** Adds the head's bias in place. */
function emitBias(
  { builder, bias }: ForwardContext,
  layer: LinearLayer,
  { tensor, shape }: FeatureMap,
): void {
  const padded = 4 * shape.quads;
  builder.dispatch(biasKernel, {
    params: { batch: shape.batch, classes: layer.outFeatures, padded, offset: bias.offset },
    tensors: { logits: tensor, tensors: bias.tensors },
    workgroups: linearWorkgroups(shape.batch * padded),
  });
}

function emitMaxPool(
  { builder }: ForwardContext,
  layer: MaxPoolLayer,
  input: FeatureMap,
  output: FeatureMap,
): Tensor {
  const { pixels, quads } = output.shape;
  const winners = builder.transient(`${layer.name}, winners`, pixels * quads * 4);
  builder.dispatch(maxPoolKernel, {
    params: geometryOf(layer, input.shape, output.shape),
    tensors: { x: input.tensor, y: output.tensor, winners },
    workgroups: linearWorkgroups(pixels * quads),
  });
  return winners;
}
