/** @file One training step as one ONNX model: forward, loss, backward, optimiser, running statistics. */
import type { ParameterGroup } from '../../adaption/method.js';
import { type TaskState, taskTensors } from '../../adaption/parameters.js';
import {
  BATCH_NORM_EPSILON,
  BATCH_NORM_MOMENTUM,
  type BatchNormLayer,
  type ConvLayer,
  headOf,
} from '../../model/graph.js';
import type { TrainingPlan } from '../engine.js';
import { Layouts } from './activations.js';
import { emitBackward, layersNeedingGradient } from './backward.js';
import type { Norm } from './batchNorm.js';
import {
  binarize,
  type EffectiveWeight,
  frozenWeight,
  maskedWeight,
  trainedWeight,
} from './effectiveWeights.js';
import { emitForward } from './forward.js';
import { emitGates } from './gates.js';
import { GraphBuilder } from './graphBuilder.js';
import { type FlatVector, type StateLayout, stateLayout } from './layout.js';
import { emitUpdate } from './optimizer.js';

/** Feature maps of at most this many pixels are computed in the merged layout; measured with bench/cpu. */
export const MERGED_PIXELS = 3136;
/** 3×3 convolutions of at least this many channels are computed by Winograd's filtering. */
export const WINOGRAD_CHANNELS = 16;

export interface TrainingModel {
  readonly bytes: Uint8Array;
  readonly layout: StateLayout;
  /** Length of the input `noise` over all scores; 0 when the method uses none. */
  readonly noiseLength: number;
}

/**
 * Inputs: `pixels`, `labels` (int32 [batch]), `learningRate.<group>`, `correction1`, `correction2` (Adam), `noise`,
 * and every state vector of the layout. Outputs: `loss`, `correct` and `next:<vector>` for each.
 * @param state supplies tensors that never change (frozen batch norm); all others are inputs
 */
export function buildTrainingModel(
  plan: TrainingPlan,
  state: TaskState,
  mergedPixels: number = MERGED_PIXELS,
  winogradChannels: number = WINOGRAD_CHANNELS,
): TrainingModel {
  const { graph, backbone, method, batchSize, imageSize, optimizer } = plan;
  const builder = new GraphBuilder();
  const layouts = new Layouts(builder, graph, batchSize, imageSize, mergedPixels, winogradChannels);
  const layout = stateLayout(taskTensors(graph, method), optimizer.kind);
  const masks = layout.groups.get('masks');
  const noiseLength = method.mask?.noise && masks ? masks.length : 0;

  const vectors = new Map<ParameterGroup, string>();
  const tensors = new Map<string, string>();
  for (const [group, vector] of layout.groups) {
    vectors.set(group, builder.input(group, 'float32', [vector.length]));
    if (group === 'masks') continue; // binarised as a whole
    for (const [name, value] of splitVector(builder, group, vector)) tensors.set(name, value);
  }
  if (layout.statistics) {
    const name = builder.input('statistics', 'float32', [layout.statistics.length]);
    for (const [key, value] of splitVector(builder, name, layout.statistics)) tensors.set(key, value);
  }
  const noise = noiseLength > 0 ? builder.input('noise', 'float32', [noiseLength]) : null;
  const mask = method.mask ? binarize(builder, method.mask, vectors.get('masks')!, noise) : null;
  const maskBits = mask ? splitVector(builder, mask.bits, masks!) : null;
  const tensor = (name: string): string =>
    tensors.get(name) ?? builder.constant(state.tensors[name], [state.tensors[name].length]);

  const weights = new Map<string, EffectiveWeight>();
  const norms = new Map<string, Norm>();
  const batchStatistics = new Map<string, { value: string; weight: number }>();
  const head = headOf(graph);
  const context = {
    builder,
    graph,
    layouts,
    imageSize,
    normalization: backbone.normalization,
    clips: backbone.clips,
    activationBits: backbone.activationBits,
    weight: (conv: ConvLayer) => {
      const weight = effectiveWeight(conv);
      weights.set(conv.name, weight);
      return weight.value;
    },
    batchNorm,
    head: { weight: tensor(`${head.name}.weight`), bias: tensor(`${head.name}.bias`) },
  };
  const values = emitForward(context);
  const { trainBatchNorm } = method;
  const needed = layersNeedingGradient({ graph, weights, trainBatchNorm });
  const gates = emitGates({ ...context, ...values }, needed);
  const logits = values.activations.flat(head.name);
  const { loss, correct, gradient } = emitLoss(builder, logits, batchSize, head.outFeatures);
  const gradients = emitBackward(
    { ...context, ...values, weights, norms, trainBatchNorm, needed, gates },
    gradient,
  );

  builder.output('loss', 'float32', [], loss);
  builder.output('correct', 'int32', [], correct);
  emitOptimizer();
  if (layout.statistics) emitStatistics(layout.statistics);
  return { bytes: builder.encode(), layout, noiseLength };

  function effectiveWeight(conv: ConvLayer): EffectiveWeight {
    if (method.mask)
      return maskedWeight(builder, conv, backbone, method.mask, maskBits!.get(`${conv.name}.scores`)!);
    if (method.trainWeights)
      return trainedWeight(builder, conv, backbone, tensors.get(`${conv.name}.weight`)!);
    return frozenWeight(builder, conv, backbone);
  }

  function batchNorm(layer: BatchNormLayer, input: string): string {
    const [weight, bias, runningMean, runningVariance] = [
      'weight',
      'bias',
      'running_mean',
      'running_var',
    ].map((suffix) => tensor(`${layer.name}.${suffix}`));
    const inputs = [input, weight, bias, runningMean, runningVariance];
    const epsilon = { float: BATCH_NORM_EPSILON };
    const { channels } = layer;
    const { height, width } = layouts.shapeOf(layer.name);
    const count = batchSize * height * width;
    if (!method.trainBatchNorm) {
      norms.set(layer.name, { mean: runningMean, variance: runningVariance, weight, channels, count });
      return builder.op('BatchNormalization', inputs, { epsilon });
    }
    // With momentum 0 the second and third outputs are the batch statistics themselves. ONNX Runtime writes them over
    // the fourth and fifth inputs even when others still read these: nobody else may read this part of `statistics`.
    const [output, mean, variance] = builder.ops('BatchNormalization', inputs, 3, {
      training_mode: 1,
      momentum: { float: 0 },
      epsilon,
    });
    norms.set(layer.name, { mean, variance, weight, channels, count });
    batchStatistics.set(`${layer.name}.running_mean`, { value: mean, weight: BATCH_NORM_MOMENTUM });
    batchStatistics.set(`${layer.name}.running_var`, {
      value: variance,
      weight: (BATCH_NORM_MOMENTUM * count) / (count - 1), // unbiased
    });
    return output;
  }

  /** Running averages of all batch norms as one vector. */
  function emitStatistics(vector: FlatVector): void {
    const parts = vector.specs.map(({ name }) => batchStatistics.get(name)!);
    const weights = parts.flatMap(({ weight }, i) => new Array<number>(vector.sizes[i]).fill(weight));
    const current = builder.op(
      'Concat',
      parts.map(({ value }) => value),
      { axis: 0 },
    );
    const next = builder.op('Add', [
      builder.op('Mul', ['statistics', builder.scalar(1 - BATCH_NORM_MOMENTUM)]),
      builder.op('Mul', [current, builder.constant(Float32Array.from(weights), [vector.length])]),
    ]);
    builder.output('next:statistics', 'float32', [vector.length], next);
  }

  function emitOptimizer(): void {
    const biasCorrections: [string, string] | null =
      optimizer.kind === 'adam'
        ? [builder.input('correction1', 'float32', []), builder.input('correction2', 'float32', [])]
        : null;
    // ONNX Runtime works through the last output first. Masks and weights as the last group: their gradients are computed
    // as soon as the output gradient that they need, instead of keeping those of all layers until the end.
    for (const [group, vector] of [...layout.groups].reverse()) {
      const parts = vector.specs.map((spec, i) => {
        const key = spec.group === 'masks' || spec.group === 'weights' ? convKey(spec.name) : spec.name;
        const part = gradients.get(key)!;
        return spec.shape.length === 1 ? part : builder.op('Reshape', [part, builder.ints(vector.sizes[i])]);
      });
      const moments = Object.fromEntries(
        layout.moments.map((suffix) => [
          suffix,
          builder.input(`${group}.${suffix}`, 'float32', [vector.length]),
        ]),
      );
      const gradient = builder.op('Concat', parts, { axis: 0 });
      const next = emitUpdate(builder, optimizer, {
        parameters: vectors.get(group)!,
        gradient: group === 'masks' ? mask!.scoreGradient(gradient) : gradient,
        moments,
        learningRate: builder.input(`learningRate.${group}`, 'float32', []),
        biasCorrections,
      });
      builder.output(`next:${group}`, 'float32', [vector.length], next.parameters);
      for (const suffix of layout.moments) {
        builder.output(`next:${group}.${suffix}`, 'float32', [vector.length], next.moments[suffix]);
      }
    }
  }
}

const convKey = (tensorName: string) => `conv:${tensorName.slice(0, tensorName.lastIndexOf('.'))}`;

/** Splits a flat vector into its tensors, each in its own shape. */
function splitVector(builder: GraphBuilder, flat: string, vector: FlatVector): Map<string, string> {
  const parts =
    vector.specs.length === 1
      ? [flat]
      : builder.ops('Split', [flat, builder.ints(...vector.sizes)], vector.specs.length, { axis: 0 });
  return new Map(
    vector.specs.map((spec, i) => [
      spec.name,
      spec.shape.length === 1 ? parts[i] : builder.op('Reshape', [parts[i], builder.ints(...spec.shape)]),
    ]),
  );
}

/** Mean cross-entropy, number of correct images, and dL/dlogits = (softmax − one-hot) / batch. */
function emitLoss(builder: GraphBuilder, logits: string, batchSize: number, classes: number) {
  const labels = builder.input('labels', 'int32', [batchSize]);
  const column = builder.op('Reshape', [labels, builder.ints(batchSize, 1)]);
  const classIndices = builder.constant(
    Int32Array.from({ length: classes }, (_, i) => i),
    [1, classes],
  );
  const oneHot = builder.op('Cast', [builder.op('Equal', [column, classIndices])], { to: 1 });
  const logProbabilities = builder.op('LogSoftmax', [logits], { axis: 1 });
  const picked = builder.op('Mul', [oneHot, logProbabilities]);
  const total = builder.op('ReduceSum', [picked], { keepdims: 0 });
  const difference = builder.op('Sub', [builder.op('Exp', [logProbabilities]), oneHot]);
  const predicted = builder.op('Cast', [builder.op('ArgMax', [logits], { axis: 1, keepdims: 0 })], { to: 6 });
  const hits = builder.op('Cast', [builder.op('Equal', [predicted, labels])], { to: 6 });
  return {
    loss: builder.op('Mul', [total, builder.scalar(-1 / batchSize)]),
    correct: builder.op('ReduceSum', [hits], { keepdims: 0 }),
    gradient: builder.op('Mul', [difference, builder.scalar(1 / batchSize)]),
  };
}
