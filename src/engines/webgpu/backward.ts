/**
 * @file Emits the dispatches of the backward pass: walks the nodes in reverse, hands each the gradients of its outputs
 * and collects those of its inputs.
 */
import type {
  BatchNormLayer,
  ConvLayer,
  GlobalAveragePoolLayer,
  LinearLayer,
  MaxPoolLayer,
} from '../../model/graph.js';
import { layersOfNode, type PointwiseGroup } from '../compiled/fusion.js';
import { Gradients } from '../compiled/gradients.js';
import { productFlop } from '../compiled/layers.js';
import { geometryOf, isDense, mapBytes, runOf, weightCount, weightRows } from './features.js';
import {
  type ForwardContext,
  type ForwardValues,
  groupInputs,
  groupParameters,
  groupShape,
  productFactor,
} from './forward.js';
import { linearWorkgroups } from './kernel.js';
import { sumBytes, sumGrid } from './kernels/channelSums.js';
import {
  gradientWeights,
  inputGradientKernel,
  inputPhases,
  type ProductPath,
  weightGradientKernel,
} from './kernels/convolution.js';
import { addKernel } from './kernels/ends.js';
import type { FeatureFormat } from './kernels/formats.js';
import {
  type GroupGradients,
  groupBackwardKernel,
  groupBuffers,
  groupParams,
  groupSumsKernel,
} from './kernels/pointwise.js';
import { averagePoolGradientKernel, maxPoolGradientKernel } from './kernels/pools.js';
import { MAX_DEPTH, productGrid, tileCount } from './kernels/product.js';
import type { Tensor } from './plan.js';
import { ENOUGH_WORKGROUPS, type WeightGradient } from './products.js';

export interface BackwardContext extends ForwardContext {
  /** Largest magnitudes, as bits, of the gradients that are read in float16; zeros at the start of a step. */
  readonly range: Tensor;
  /** Whether a layer's weights are trained, through masks or directly. */
  trainsWeights(layer: ConvLayer | LinearLayer): boolean;
  /** Layers whose output needs a gradient. */
  readonly needed: ReadonlySet<string>;
  /** Emits the update of what a layer's weights are made from. */
  updateWeights(layer: ConvLayer | LinearLayer, dw: WeightGradient, dy: Tensor): void;
  /** Rows of the weight gradient that its update needs the weighted sum of only, and these weights; 1 row: all of it. */
  summedRows(
    layer: ConvLayer | LinearLayer,
    path: ProductPath,
  ): { readonly rowsPerSum: number; readonly tensors: Readonly<Record<string, Tensor>> };
  /** Emits the update of a batch norm's weight and bias, and the means its input's gradient needs. */
  updateAffine(layer: BatchNormLayer, sums: Tensor, chunks: number, pixels: number): void;
}

/** Weight gradients have few tiles and are split along pixels; below this a split costs more than it gains. */
const MIN_PIXELS_PER_SPLIT = 512;

/** @param dlogits dL/dlogits, [batch, padded classes] */
export function emitBackward(context: BackwardContext, values: ForwardValues, dlogits: Tensor): void {
  const { builder, fused, products, needed } = context;
  const { gradientFormat } = products;
  const { maps } = values;
  const gradients = new Gradients<Tensor>(
    (name) => builder.transient(`gradient of ${name}`, mapBytes(maps.get(name)!.shape, gradientFormat)),
    add,
  );
  const rangeOf = rangeIndices(context);
  const rangeIndex = (layer: string): number => rangeOf.get(layer) ?? 0;

  for (const node of [...fused.nodes].reverse()) {
    if (!layersOfNode(node).some(({ name }) => needed.has(name))) continue;
    switch (node.kind) {
      case 'linear':
        productGradients(node, dlogits);
        break;
      case 'conv':
        productGradients(node, gradients.sum(node.name));
        break;
      case 'maxPool':
        if (needed.has(node.inputs[0])) maxPoolGradient(node);
        break;
      case 'globalAveragePool':
        if (needed.has(node.inputs[0])) averagePoolGradient(node);
        break;
      case 'group':
        groupGradient(node);
    }
  }

  function add(name: string, a: Tensor, b: Tensor): Tensor {
    const { pixels, quads } = maps.get(name)!.shape;
    const sum = builder.transient(`gradient of ${name}`, a.bytes);
    const workgroups = linearWorkgroups(pixels * quads);
    builder.dispatch(addKernel(gradientFormat), {
      params: { size: pixels * quads },
      tensors: { a, b, sum },
      workgroups,
    });
    return sum;
  }

  /** Of the gradient of a product's output. */
  function formatOf({ kind }: ConvLayer | LinearLayer): FeatureFormat {
    return kind === 'linear' ? 'float32' : gradientFormat;
  }

  function productGradients(layer: ConvLayer | LinearLayer, dy: Tensor): void {
    // First, since it reads the weights as they are before their update.
    if (needed.has(layer.inputs[0])) inputGradient(layer, dy);
    if (context.trainsWeights(layer)) context.updateWeights(layer, weightGradient(layer, dy), dy);
  }

  function inputGradient(layer: ConvLayer | LinearLayer, dy: Tensor): void {
    const [input, output] = [maps.get(layer.inputs[0])!, maps.get(layer.name)!];
    const weights = context.weights(layer);
    const { window, onMatrixUnits } = weights;
    const geometry = geometryOf(window, input.shape, output.shape);
    const { phases, pixels } = inputPhases(geometry);
    const extent = { rows: input.shape.batch * pixels, columns: 4 * input.shape.quads };
    const path = context.products.path(onMatrixUnits, extent, ENOUGH_WORKGROUPS);
    const variant = {
      path,
      dense: isDense(window),
      outRun: runOf(output.shape.quads),
      gradient: formatOf(layer),
      inputGradient: gradientFormat,
    };
    builder.dispatch(inputGradientKernel(variant), {
      params: {
        ...geometry,
        factor: productFactor(input, output) / input.step,
        rangeIndex: rangeIndex(layer.name),
      },
      tensors: {
        dy,
        w: weights.in(gradientWeights(onMatrixUnits)),
        range: context.range,
        dx: gradients.owe(layer.inputs[0]),
      },
      workgroups: productGrid(path.tile, extent, phases),
      flop: productFlop(window, output.shape),
    });
  }

  function weightGradient(layer: ConvLayer | LinearLayer, dy: Tensor): WeightGradient {
    const [input, output] = [maps.get(layer.inputs[0])!, maps.get(layer.name)!];
    const { window, onMatrixUnits } = context.weights(layer);
    const extent = { rows: weightRows(window), columns: 4 * output.shape.quads };
    const path = context.products.path(onMatrixUnits, extent, 1);
    const { pixels } = output.shape;
    const wanted = Math.min(
      Math.max(1, Math.floor(ENOUGH_WORKGROUPS / tileCount(path.tile, extent))),
      Math.ceil(pixels / MIN_PIXELS_PER_SPLIT),
    );
    const pixelsPerSplit = MAX_DEPTH * Math.ceil(pixels / wanted / MAX_DEPTH);
    const splits = Math.ceil(pixels / pixelsPerSplit);
    const { rowsPerSum, tensors } = context.summedRows(layer, path);
    const bytes = (4 * splits * weightCount(window)) / rowsPerSum;
    const dw = builder.transient(`weight gradient of ${layer.name}`, bytes);
    const variant = {
      path,
      dense: isDense(window),
      inRun: runOf(input.shape.quads),
      outRun: runOf(output.shape.quads),
      input: input.format,
      gradient: formatOf(layer),
      rowsPerSum,
    };
    builder.dispatch(weightGradientKernel(variant), {
      params: {
        ...geometryOf(window, input.shape, output.shape),
        factor: productFactor(input, output),
        pixelsPerSplit,
        rangeIndex: rangeIndex(layer.name),
      },
      tensors: { x: input.tensor, dy, range: context.range, dw, ...tensors },
      workgroups: productGrid(path.tile, extent, splits),
      flop: productFlop(window, output.shape),
    });
    return { tensor: dw, splits, rowsPerSum };
  }

  function maxPoolGradient(layer: MaxPoolLayer): void {
    const [input, output] = [maps.get(layer.inputs[0])!, maps.get(layer.name)!];
    const { pixels, quads } = input.shape;
    builder.dispatch(maxPoolGradientKernel(gradientFormat), {
      params: geometryOf(layer, input.shape, output.shape),
      tensors: {
        dy: gradients.sum(layer.name),
        winners: values.winners.get(layer.name)!,
        dx: gradients.owe(layer.inputs[0]),
      },
      workgroups: linearWorkgroups(pixels * quads),
    });
  }

  function averagePoolGradient(layer: GlobalAveragePoolLayer): void {
    const { batch, height, width, quads } = maps.get(layer.inputs[0])!.shape;
    builder.dispatch(averagePoolGradientKernel(gradientFormat), {
      params: { batch, pixels: height * width, quads },
      tensors: { dy: gradients.sum(layer.name), dx: gradients.owe(layer.inputs[0]) },
      workgroups: linearWorkgroups(batch * height * width * quads),
    });
  }

  function groupGradient(group: PointwiseGroup): void {
    const shape = groupShape(group, maps, context);
    const norms = group.members.filter((member) => member.kind === 'batchNorm');
    const request: GroupGradients = {
      received: new Map(group.outputs.map((name) => [name, gradients.parts(name).length])),
      owed: group.inputs.filter((name) => needed.has(name)),
      ranged: new Set(group.inputs.filter((name) => rangeOf.has(name))),
      trainedNorms: new Set(context.usesBatchStatistics ? norms.map(({ name }) => name) : []),
    };
    const params = groupParameters(context, shape, maps);
    const tensors = groupInputs(context, shape, maps);
    for (const name of request.owed) {
      tensors[groupBuffers.inputGradient(shape, name)] = gradients.owe(name);
      params[groupParams.range(shape, name)] = rangeIndex(name);
    }
    for (const name of group.outputs) {
      gradients.parts(name).forEach((tensor, n) => {
        tensors[groupBuffers.gradient(shape, name, n)] = tensor;
      });
    }
    if (request.trainedNorms.size > 0) {
      const { pixels, quads } = maps.get(group.inputs[0])!.shape;
      const { lanes, chunks, pixelsPerChunk, workgroups } = sumGrid(pixels, quads);
      const sums = norms.map((norm) => {
        const tensor = builder.transient(`gradient sums of ${norm.name}`, sumBytes(quads, chunks));
        tensors[groupBuffers.sums(shape, norm.name)] = tensor;
        return tensor;
      });
      builder.dispatch(groupSumsKernel(shape, request, lanes), {
        params: { ...params, pixels, pixelsPerChunk },
        tensors,
        workgroups,
      });
      norms.forEach((norm, n) => {
        context.updateAffine(norm, sums[n], chunks, pixels);
      });
    }
    if (request.owed.length === 0) return;
    tensors.range = context.range;
    builder.dispatch(groupBackwardKernel(shape, request), {
      params,
      tensors,
      workgroups: linearWorkgroups(params.size),
    });
  }
}

/** Where in the range buffer each convolution on matrix units has the largest magnitude of its output's gradient. */
function rangeIndices(context: Pick<BackwardContext, 'fused' | 'weights'>): Map<string, number> {
  const convs = context.fused.nodes.filter((node) => node.kind === 'conv');
  const onUnits = convs.filter((conv) => context.weights(conv).onMatrixUnits);
  return new Map(onUnits.map(({ name }, i) => [name, i]));
}
