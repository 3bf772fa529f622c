/** @file Emits the dispatches of the forward pass. */
import type { Normalization } from '../../model/backbone.js';
import type { BatchNormLayer, ConvLayer, LinearLayer, MaxPoolLayer } from '../../model/graph.js';
import type { FusedGraph, PointwiseGroup } from '../compiled/fusion.js';
import { clipOf, computed, productFlop, topLevel } from '../compiled/layers.js';
import { type FeatureMap, geometryOf, isDense, type MapShape, mapBytes } from './features.js';
import { linearWorkgroups } from './kernel.js';
import { type FeatureFormat, forwardKernel } from './kernels/convolution.js';
import { biasKernel, normalizeKernel } from './kernels/ends.js';
import { type GroupShape, groupBuffers, groupForwardKernel, groupParams } from './kernels/pointwise.js';
import { averagePoolKernel, maxPoolKernel } from './kernels/pools.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';
import { ENOUGH_WORKGROUPS, type Products, tilesOf, type Weights } from './products.js';

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

  const make = (name: string, format: FeatureFormat = 'float', step = 1): FeatureMap => {
    const shape = shapes.get(name)!;
    const map = { tensor: builder.transient(name, mapBytes(shape, format)), shape, format, step };
    maps.set(name, map);
    return map;
  };
  const mapOf = (name: string): FeatureMap => computed(maps, name);
  const floatsOf = (name: string): FeatureMap => {
    const map = mapOf(name);
    if (map.format !== 'float') throw new Error(`pools read floats, and ${name} lies in memory as levels`);
    return map;
  };

  emitNormalize(context, make('input'));
  for (const node of context.fused.nodes) {
    switch (node.kind) {
      case 'conv':
        emitConvolution(context, node, mapOf(node.inputs[0]), make(node.name));
        break;
      case 'linear': {
        const logits = make(node.name);
        emitConvolution(context, node, mapOf(node.inputs[0]), logits);
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
      case 'group': {
        for (const member of node.members) {
          if (member.kind === 'batchNorm') context.statistics(member, mapOf(member.inputs[0]));
        }
        const levels = topLevel(context.activationBits);
        const outputs = node.outputs.map((name) => {
          const quantized = node.members.some((member) => member.name === name && member.kind === 'quantize');
          return quantized ? make(name, 'levels', clipOf(context.clips, name) / levels) : make(name);
        });
        emitGroup(context, node, node.inputs.map(mapOf), outputs);
      }
    }
  }
  return { maps, winners };
}

/** What a group's kernels are generated from, once its inputs are computed. */
export function groupShape(group: PointwiseGroup, maps: ReadonlyMap<string, FeatureMap>): GroupShape {
  const formats = group.inputs.map((name) => [name, maps.get(name)!.format] as const);
  return { group, formats: new Map(formats) };
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
    if (shape.formats.get(name) === 'levels')
      params[groupParams.inputStep(shape, name)] = maps.get(name)!.step;
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

function emitGroup(
  context: ForwardContext,
  group: PointwiseGroup,
  inputs: readonly FeatureMap[],
  outputs: readonly FeatureMap[],
): void {
  const maps = new Map(group.inputs.map((name, i) => [name, inputs[i]]));
  const shape = groupShape(group, maps);
  const params = groupParameters(context, shape, maps);
  const tensors = groupInputs(context, shape, maps);
  group.outputs.forEach((name, i) => {
    tensors[groupBuffers.output(shape, name)] = outputs[i].tensor;
  });
  context.builder.dispatch(groupForwardKernel(shape), {
    params,
    tensors,
    workgroups: linearWorkgroups(params.size),
  });
}

function emitNormalize({ builder, normalization, pixels }: ForwardContext, output: FeatureMap): void {
  const [meanRed, meanGreen, meanBlue] = normalization.mean;
  const [deviationRed, deviationGreen, deviationBlue] = normalization.std;
  builder.dispatch(normalizeKernel, {
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

function emitConvolution(
  context: ForwardContext,
  layer: ConvLayer | LinearLayer,
  input: FeatureMap,
  output: FeatureMap,
): void {
  const { window, values, scales, onMatrixUnits } = context.weights(layer);
  const extent = { rows: output.shape.pixels, columns: 4 * output.shape.quads };
  const path = context.products.path(onMatrixUnits, extent, ENOUGH_WORKGROUPS);
  context.builder.dispatch(forwardKernel({ path, dense: isDense(window), input: input.format }), {
    params: { ...geometryOf(window, input.shape, output.shape), inputStep: input.step },
    tensors: { x: input.tensor, w: values, scales, y: output.tensor },
    workgroups: [...tilesOf(path, extent), 1],
    flop: productFlop(window, output.shape),
  });
}

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
