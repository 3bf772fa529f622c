/** @file Compiles a training step: what each convolution computes with, forward, loss, backward, updates. */
import { maskShape, rowsPerBit } from '../../adaption/geometry.js';
import { taskTensors } from '../../adaption/parameters.js';
import { dequantize } from '../../model/backbone.js';
import type { BatchNormLayer, ConvLayer, LinearLayer } from '../../model/graph.js';
import { headOf } from '../../model/graph.js';
import { hashString } from '../../random.js';
import type { TrainingPlan } from '../engine.js';
import { type BackwardContext, emitBackward, type WeightGradient } from './backward.js';
import type { Gpu } from './device.js';
import { mapShapes, padWeights, quadsOf, type Window, weightBytes, windowOf } from './features.js';
import { emitForward } from './forward.js';
import { fuseGraph } from './fusion.js';
import { linearWorkgroups } from './kernel.js';
import { affineUpdateKernel, statisticsKernel, statisticsSumsKernel } from './kernels/batchNorm.js';
import { sumBytes, sumGrid } from './kernels/channelSums.js';
import { biasKernel, biasUpdateKernel, lossKernel, metricsKernel } from './kernels/ends.js';
import {
  gridWeightsKernel,
  maskedWeightsKernel,
  maskUpdateKernel,
  plainWeightsKernel,
  weightUpdateKernel,
} from './kernels/weights.js';
import { coefficientLayout, frozenCoefficients } from './normalization.js';
import { type Plan, PlanBuilder, type Tensor } from './plan.js';
import { StateVector } from './stateVector.js';

export interface CompiledTraining {
  readonly plan: Plan;
  readonly layout: StateVector;
  /** RGB bytes [batch, height, width, 3] and int32 labels [batch]. */
  readonly pixels: Tensor;
  readonly labels: Tensor;
  /** [mean loss, correct images] */
  readonly metrics: Tensor;
  /** The task's tensors and moments, as {@link StateVector} packs them. */
  readonly state: readonly Tensor[];
}

export async function compileTraining(
  gpu: Gpu,
  training: TrainingPlan,
  initial: Readonly<Record<string, Float32Array>>,
): Promise<CompiledTraining> {
  const { graph, backbone, method, optimizer, batchSize, imageSize, seed } = training;
  const builder = new PlanBuilder(gpu);
  const layout = new StateVector(taskTensors(graph, method), optimizer.kind);
  const shapes = mapShapes(graph, batchSize, imageSize);
  const fused = fuseGraph(graph, backbone.activationBits);

  const pixels = builder.persistent('pixels', batchSize * imageSize * imageSize * 3);
  const labels = builder.persistent('labels', 4 * batchSize);
  const state = Array.from({ length: 1 + layout.momentCount }, (_, i) =>
    builder.persistent(i === 0 ? "the task's tensors" : `optimiser moments ${i}`, 4 * layout.length),
  );
  const [tensors, moment1, moment2] = state;
  const optimizerTensors = { tensors, moment1, moment2 };
  const norms = coefficientLayout(graph);
  const frozenNorms = method.trainBatchNorm ? null : frozenCoefficients(graph, norms, initial);
  const coefficients = builder.persistent('batch norm coefficients', norms.bytes, frozenNorms);

  const frozen = new Map<string, Tensor>();
  const scales = new Map<string, Tensor>();
  const weights = new Map<string, Tensor>();
  for (const node of fused.nodes) {
    if (node.kind === 'conv') weights.set(node.name, emitConvWeights(node));
    if (node.kind === 'linear') weights.set(node.name, emitPlainWeights(node));
  }

  const context: BackwardContext = {
    builder,
    fused,
    shapes,
    clips: backbone.clips,
    activationBits: backbone.activationBits,
    normalization: backbone.normalization,
    pixels,
    weight: ({ name }) => weights.get(name)!,
    coefficients,
    normOffsets: norms.offsets,
    statistics: (layer, input) => {
      if (method.trainBatchNorm) emitStatistics(layer, input.tensor);
    },
    bias: (layer, logits) => {
      const padded = 4 * logits.shape.quads;
      builder.dispatch(biasKernel, {
        params: {
          batch: batchSize,
          classes: layer.outFeatures,
          padded,
          offset: layout.offset(`${layer.name}.bias`),
        },
        tensors: { logits: logits.tensor, tensors },
        workgroups: linearWorkgroups(batchSize * padded),
      });
    },
    trainsWeights: (layer) => layer.kind === 'linear' || method.mask !== null || method.trainWeights,
    trainsBatchNorm: method.trainBatchNorm,
    updateWeights,
    updateAffine,
  };
  const values = emitForward(context);
  const { dlogits, metrics } = emitLoss(values.maps.get(headOf(graph).name)!.tensor);
  emitBackward(context, values, dlogits);
  const plan = await builder.finish();
  return { plan, layout, pixels, labels, metrics, state };

  function emitConvWeights(layer: ConvLayer): Tensor {
    const real = () => padWeights(dequantize(backbone.convs[layer.name]), layer);
    if (method.mask) {
      frozen.set(
        layer.name,
        builder.persistent(`frozen weights of ${layer.name}`, weightBytes(layer), real()),
      );
      const w = builder.transient(`weights of ${layer.name}`, weightBytes(layer));
      builder.dispatch(maskedWeightsKernel(method.mask), {
        params: { ...layerParams(layer, 'scores'), ...maskParams(layer) },
        tensors: { frozen: frozen.get(layer.name)!, tensors, w },
        workgroups: linearWorkgroups(w.bytes / 4),
      });
      return w;
    }
    if (!method.trainWeights) {
      return builder.persistent(`frozen weights of ${layer.name}`, weightBytes(layer), real());
    }
    const grid = backbone.convs[layer.name];
    if (grid.kind === 'float') return emitPlainWeights(layer);
    const scale = builder.persistent(`scales of ${layer.name}`, 4 * layer.outChannels, grid.scales.slice());
    scales.set(layer.name, scale);
    const w = builder.transient(`weights of ${layer.name}`, weightBytes(layer));
    builder.dispatch(gridWeightsKernel, {
      params: { ...layerParams(layer, 'weight'), limit: limitOf(layer) },
      tensors: { tensors, scales: scale, w },
      workgroups: linearWorkgroups(w.bytes / 4),
    });
    return w;
  }

  function emitPlainWeights(layer: ConvLayer | LinearLayer): Tensor {
    const w = builder.transient(`weights of ${layer.name}`, weightBytes(windowOf(layer)));
    builder.dispatch(plainWeightsKernel, {
      params: layerParams(windowOf(layer), 'weight'),
      tensors: { tensors, w },
      workgroups: linearWorkgroups(w.bytes / 4),
    });
    return w;
  }

  function layerParams(window: Window, suffix: 'scores' | 'weight') {
    const { name, inChannels, outChannels, kernel } = window;
    const [inQuads, outQuads] = [quadsOf(inChannels), quadsOf(outChannels)];
    return {
      inChannels,
      outChannels,
      inQuads,
      outQuads,
      taps: kernel ** 2,
      offset: layout.offset(`${name}.${suffix}`),
    };
  }

  function maskParams(layer: ConvLayer) {
    const [, bitsPerFilter] = maskShape(layer, method.mask!);
    return {
      rowsPerBit: rowsPerBit(layer, method.mask!),
      bitsPerFilter,
      seed: seed | 0,
      layerKey: hashString(layer.name),
    };
  }

  /** Largest level of a layer's grid; without one no weight is beyond it. */
  function limitOf(layer: ConvLayer): number {
    const grid = backbone.convs[layer.name];
    return grid.kind === 'levels' ? 2 ** (grid.bits - 1) - 1 : 0;
  }

  function updateWeights(layer: ConvLayer | LinearLayer, { dw, splits }: WeightGradient, dy: Tensor): void {
    if (layer.kind === 'conv' && method.mask) {
      const [outChannels, bitsPerFilter] = maskShape(layer, method.mask);
      builder.dispatch(maskUpdateKernel(method.mask, optimizer), {
        params: { ...layerParams(layer, 'scores'), ...maskParams(layer), splits },
        tensors: { frozen: frozen.get(layer.name)!, dw, ...optimizerTensors },
        workgroups: linearWorkgroups(outChannels * bitsPerFilter),
      });
      return;
    }
    const window = windowOf(layer);
    const scale = scales.get(layer.name);
    const group = layer.kind === 'linear' ? 'Head' : 'Weights';
    builder.dispatch(weightUpdateKernel(optimizer, group, scale !== undefined), {
      params: {
        ...layerParams(window, 'weight'),
        limit: layer.kind === 'conv' ? limitOf(layer) : 0,
        splits,
      },
      tensors: { dw, scales: scale!, ...optimizerTensors },
      workgroups: linearWorkgroups(window.outChannels * window.inChannels * window.kernel ** 2),
    });
    if (layer.kind === 'linear') updateBias(layer, dy);
  }

  function updateBias({ name, outFeatures }: LinearLayer, dlogits: Tensor): void {
    builder.dispatch(biasUpdateKernel(optimizer), {
      params: {
        batch: batchSize,
        classes: outFeatures,
        padded: 4 * quadsOf(outFeatures),
        offset: layout.offset(`${name}.bias`),
      },
      tensors: { dlogits, ...optimizerTensors },
      workgroups: linearWorkgroups(outFeatures),
    });
  }

  function normParams(layer: BatchNormLayer, chunks: number, count: number) {
    return {
      channels: layer.channels,
      quads: quadsOf(layer.channels),
      chunks,
      norm: norms.offsets.get(layer.name)!,
      count,
      weightOffset: layout.offset(`${layer.name}.weight`),
      biasOffset: layout.offset(`${layer.name}.bias`),
    };
  }

  function emitStatistics(layer: BatchNormLayer, x: Tensor): void {
    const shape = shapes.get(layer.name)!;
    const { lanes, chunks, pixelsPerChunk, workgroups } = sumGrid(shape.pixels, shape.quads);
    const sums = builder.transient(`sums of ${layer.name}`, sumBytes(shape.quads, chunks));
    builder.dispatch(statisticsSumsKernel(lanes), {
      params: { quads: shape.quads, pixels: shape.pixels, pixelsPerChunk },
      tensors: { x, sums },
      workgroups,
    });
    builder.dispatch(statisticsKernel, {
      params: {
        ...normParams(layer, chunks, shape.pixels),
        meanOffset: layout.offset(`${layer.name}.running_mean`),
        varianceOffset: layout.offset(`${layer.name}.running_var`),
      },
      tensors: { x, sums, coefficients, tensors },
      workgroups: linearWorkgroups(4 * shape.quads),
    });
  }

  function updateAffine(layer: BatchNormLayer, sums: Tensor, chunks: number, count: number): void {
    builder.dispatch(affineUpdateKernel(optimizer), {
      params: normParams(layer, chunks, count),
      tensors: { sums, coefficients, ...optimizerTensors },
      workgroups: linearWorkgroups(layer.channels),
    });
  }

  function emitLoss(logits: Tensor): { dlogits: Tensor; metrics: Tensor } {
    const classes = headOf(graph).outFeatures;
    const padded = 4 * quadsOf(classes);
    const gradient = builder.transient('gradient of the logits', 4 * batchSize * padded);
    const perImage = builder.transient('loss per image', 8 * batchSize);
    const metrics = builder.persistent('metrics', 8);
    builder.dispatch(lossKernel, {
      params: { batch: batchSize, classes, padded },
      tensors: { logits, labels, gradient, perImage },
      workgroups: [batchSize, 1, 1],
    });
    builder.dispatch(metricsKernel, {
      params: { batch: batchSize },
      tensors: { perImage, metrics },
      workgroups: [1, 1, 1],
    });
    return { dlogits: gradient, metrics };
  }
}
