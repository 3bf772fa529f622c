/** @file Compiles a training step: weights, forward pass, loss, backward pass with the updates. */
import { headOf } from '../../model/graph.js';
import { fuseGraph } from '../compiled/fusion.js';
import type { TrainingPlan } from '../engine.js';
import type { Addon } from './addon.js';
import { type BackwardContext, emitBackward } from './backward.js';
import { mapShapes, pad } from './features.js';
import { emitForward } from './forward.js';
import { type Program, ProgramBuilder, type Tensor } from './program.js';
import { TaskNorms } from './taskNorms.js';
import { TaskTensors } from './taskTensors.js';
import { exactPrecision, type Precision, TaskWeights } from './taskWeights.js';

export interface CompiledTraining {
  readonly program: Program;
  /** RGB bytes [batch, height, width, 3] and int32 labels [batch]. */
  readonly pixels: Tensor;
  readonly labels: Tensor;
  /** [mean loss, correct images] */
  readonly metrics: Tensor;
  readonly task: TaskTensors;
}

/** @param initial the task's tensors */
export function compileTraining(
  addon: Addon,
  training: TrainingPlan,
  initial: Readonly<Record<string, Float32Array>>,
  options: { readonly threads: number; readonly precision: Precision },
): CompiledTraining {
  const { graph, backbone, method, batchSize, imageSize } = training;
  const builder = new ProgramBuilder(addon);
  const precision = exactPrecision(addon, options.precision, backbone);
  const fused = fuseGraph(graph, backbone.activationBits);
  const shapes = mapShapes(graph, batchSize, imageSize, addon.lanes);
  const pixels = builder.persistent('pixels', batchSize * imageSize * imageSize * 3);
  const task = new TaskTensors(builder, training);
  const problem = builder.persistent('not finite', 4);
  const weights = new TaskWeights(builder, training, task, fused, precision, problem);
  const norms = new TaskNorms(builder, training, task, initial, problem);
  const head = headOf(graph);
  const context: BackwardContext = {
    builder,
    fused,
    shapes,
    clips: backbone.clips,
    activationBits: backbone.activationBits,
    normalization: backbone.normalization,
    levels: precision.forward,
    pixels,
    weights: (layer) => weights.get(layer),
    coefficients: (layer) => norms.coefficients(layer),
    statistics: (layer, input) => norms.emitStatistics(layer, input),
    bias: task.get(`${head.name}.bias`),
    trainsWeights: (layer) => weights.areTrained(layer),
    trainsBatchNorm: method.trainBatchNorm,
    updateWeights: (layer, dw, splits, dy) => weights.update(layer, dw, splits, dy),
    updateBits: (layer, sums, blocks) => weights.updateBits(layer, sums, blocks),
    updateAffine: (layer, sums, chunks, count) => norms.update(layer, sums, chunks, count),
  };
  const values = emitForward(context);

  const labels = builder.persistent('labels', 4 * batchSize);
  const metrics = builder.persistent('metrics', 8);
  const padded = pad(head.outFeatures, addon.lanes);
  const gradient = builder.transient('gradient of the logits', 4 * batchSize * padded);
  const logits = values.maps.get(head.name)!.tensor;
  builder.call('loss', {
    problem,
    logits,
    labels,
    gradient,
    metrics,
    batch: batchSize,
    classes: head.outFeatures,
    padded,
  });
  emitBackward(context, values, gradient);
  return { program: builder.finish(options.threads), task, pixels, labels, metrics };
}
