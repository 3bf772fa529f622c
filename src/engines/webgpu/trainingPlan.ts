/** @file A training step, emitted and compiled. */
import { headOf, layersOfKind } from '../../model/graph.js';
import { fuseGraph, layersNeedingGradient } from '../compiled/fusion.js';
import type { StateVector } from '../compiled/stateVector.js';
import type { TrainingPlan } from '../engine.js';
import { type BackwardContext, emitBackward } from './backward.js';
import type { Gpu } from './device.js';
import { mapShapes, quadsOf } from './features.js';
import { emitForward } from './forward.js';
import { linearWorkgroups } from './kernel.js';
import { finiteKernel, lossKernel, metricsKernel } from './kernels/ends.js';
import type { Plan, Tensor } from './plan.js';
import { PlanBuilder } from './planBuilder.js';
import { Products } from './products.js';
import { TaskNorms } from './taskNorms.js';
import { TaskTensors } from './taskTensors.js';
import { TaskWeights } from './taskWeights.js';

export interface CompiledTraining {
  readonly plan: Plan;
  readonly layout: StateVector;
  /** RGB bytes [batch, height, width, 3] and int32 labels [batch]. */
  readonly pixels: Tensor;
  readonly labels: Tensor;
  /** [mean loss, correct images] */
  readonly metrics: Tensor;
  /** The task's tensors and moments, as the layout packs them. */
  readonly state: readonly Tensor[];
}

/** @param initial the task's tensors */
export async function compileTraining(
  gpu: Gpu,
  training: TrainingPlan,
  initial: Readonly<Record<string, Float32Array>>,
): Promise<CompiledTraining> {
  const builder = new PlanBuilder(gpu);
  const emitted = emitTraining(builder, training, initial);
  return { ...emitted, plan: await builder.finish(gpu) };
}

/** Emits a training step: weights, forward pass, loss, backward pass with the updates. */
export function emitTraining(
  builder: PlanBuilder,
  training: TrainingPlan,
  initial: Readonly<Record<string, Float32Array>>,
): Omit<CompiledTraining, 'plan'> {
  const { graph, backbone, method, batchSize, imageSize } = training;
  const { gpu } = builder;
  const fused = fuseGraph(graph, backbone.activationBits);
  const products = new Products(gpu);
  const pixels = builder.persistent('pixels', batchSize * imageSize * imageSize * 3);
  const task = new TaskTensors(builder, training);
  const weights = new TaskWeights(builder, training, task, fused, products);
  const norms = new TaskNorms(builder, training, task, initial);
  const range = builder.persistent('largest gradients', 4 * layersOfKind(graph, 'conv').length);
  builder.clearFirst(range);

  const head = headOf(graph);
  const needed = layersNeedingGradient(fused, {
    trainsWeights: (layer) => weights.areTrained(layer),
    trainsBatchNorm: method.trainBatchNorm,
  });
  const context: BackwardContext = {
    builder,
    fused,
    products,
    shapes: mapShapes(graph, batchSize, imageSize),
    clips: backbone.clips,
    activationBits: backbone.activationBits,
    normalization: backbone.normalization,
    pixels,
    weights: (layer) => weights.get(layer),
    coefficients: norms.coefficients,
    normOffsets: norms.offsets,
    usesBatchStatistics: method.trainBatchNorm,
    isTransient: (layer, { members }) => [layer, ...members].every(({ name }) => !needed.has(name)),
    statistics: (layer, input) => norms.emitStatistics(layer, input),
    bias: { tensors: task.tensors, offset: task.layout.offset(`${head.name}.bias`) },
    range,
    trainsWeights: (layer) => weights.areTrained(layer),
    needed,
    summedRows: (layer, path) => weights.summedRows(layer, path),
    updateWeights: (layer, gradient, dy) => weights.update(layer, gradient, dy),
    updateAffine: (layer, sums, chunks, count) => norms.update(layer, sums, chunks, count),
  };
  const values = emitForward(context);
  const flag = emitFiniteness(builder, [norms.coefficients, ...(method.trainWeights ? [task.tensors] : [])]);
  const logits = values.maps.get(head.name)!.tensor;
  const loss = emitLoss(builder, logits, flag, batchSize, head.outFeatures);
  emitBackward(context, values, loss.gradient);
  const { labels, metrics } = loss;
  return { layout: task.layout, pixels, labels, metrics, state: task.vectors };
}

/** @returns a word that is 0, or the bits of NaN where one of the tensors' values is not finite */
function emitFiniteness(builder: PlanBuilder, tensors: readonly Tensor[]): Tensor {
  const flag = builder.persistent('what is not finite', 4);
  builder.clearFirst(flag);
  for (const values of tensors) {
    const size = values.bytes / 4;
    const workgroups = linearWorkgroups(size);
    builder.dispatch(finiteKernel, { params: { size }, tensors: { values, flag }, workgroups });
  }
  return flag;
}

/** Mean cross-entropy of logits [batch, padded classes], its gradient and the metrics. */
function emitLoss(builder: PlanBuilder, logits: Tensor, flag: Tensor, batch: number, classes: number) {
  const padded = 4 * quadsOf(classes);
  const labels = builder.persistent('labels', 4 * batch);
  const metrics = builder.persistent('metrics', 8);
  const gradient = builder.transient('gradient of the logits', 4 * batch * padded);
  const perImage = builder.transient('loss per image', 8 * batch);
  builder.dispatch(lossKernel, {
    params: { batch, classes, padded },
    tensors: { logits, labels, gradient, perImage },
    workgroups: [batch, 1, 1],
  });
  builder.dispatch(metricsKernel, {
    params: { batch },
    tensors: { perImage, flag, metrics },
    workgroups: [1, 1, 1],
  });
  return { labels, metrics, gradient };
}
