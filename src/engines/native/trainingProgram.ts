/** @file Compiles a training step: weights, forward pass, loss, backward pass with the updates. */
import { taskTensors } from '../../adaption/parameters.js';
import { headOf } from '../../model/graph.js';
import { fuseGraph } from '../compiled/fusion.js';
import { StateVector } from '../compiled/stateVector.js';
import type { TrainingPlan } from '../engine.js';
import type { Addon } from './addon.js';
import { type BackwardContext, emitBackward } from './backward.js';
import { mapShapes, pad } from './features.js';
import { emitForward } from './forward.js';
import { type Program, ProgramBuilder, type Tensor } from './program.js';
import { TaskNorms } from './taskNorms.js';
import { type Precision, TaskWeights } from './taskWeights.js';

export interface CompiledTraining {
  readonly program: Program;
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
export function compileTraining(
  addon: Addon,
  training: TrainingPlan,
  initial: Readonly<Record<string, Float32Array>>,
  options: { readonly threads: number; readonly precision: Precision },
): CompiledTraining {
  const { graph, backbone, method, optimizer, batchSize, imageSize } = training;
  const builder = new ProgramBuilder(addon);
  const fused = fuseGraph(graph, backbone.activationBits);
  const shapes = mapShapes(graph, batchSize, imageSize, addon.lanes);
  const pixels = builder.persistent('pixels', batchSize * imageSize * imageSize * 3);
  const layout = new StateVector(taskTensors(graph, method), optimizer.kind);
  const state = Array.from({ length: 1 + layout.momentCount }, (_, i) =>
    builder.persistent(i === 0 ? "the task's tensors" : `optimiser moments ${i}`, 4 * layout.length),
  );
  const problem = builder.persistent('not finite', 4);
  const weights = new TaskWeights(builder, training, layout, state, fused, options.precision, problem);
  const norms = new TaskNorms(builder, training, layout, state, initial, problem);
  const head = headOf(graph);
  const context: BackwardContext = {
    builder,
    fused,
    shapes,
    clips: backbone.clips,
    activationBits: backbone.activationBits,
    normalization: backbone.normalization,
    levels: backbone.weightBits === 32 ? 'float32' : options.precision.forward,
    pixels,
    weights: (layer) => weights.get(layer),
    coefficients: (layer) => norms.coefficients(layer),
    statistics: (layer, input) => norms.emitStatistics(layer, input),
    bias: { tensor: state[0], offset: 4 * layout.offset(`${head.name}.bias`) },
    trainsWeights: (layer) => weights.areTrained(layer),
    trainsBatchNorm: method.trainBatchNorm,
    updateWeights: (layer, dw, splits, dy) => weights.update(layer, dw, splits, dy),
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
  return { program: builder.finish(options.threads), layout, pixels, labels, metrics, state };
}
