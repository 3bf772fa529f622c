/** @file From an experiment to what engines and the training loop take. */
import type { MethodSpec, OptimizerSpec } from '../adaption/method.js';
import { resolveMethod } from '../config/resolve.js';
import type { Experiment } from '../config/schema.js';
import type { TrainingPlan } from '../engines/engine.js';
import type { Backbone } from '../model/backbone.js';
import { withClasses } from '../model/graph.js';
import type { Schedule } from './schedule.js';

/** The method of an experiment, every null replaced by the method's own default. */
export function methodSpec(experiment: Experiment): MethodSpec {
  const { name, granularity, binarizer, trainBatchNorm, ...mask } = resolveMethod(experiment).method;
  const { rows, threshold, slope, noise, initialScore } = mask;
  return {
    name,
    mask:
      granularity && binarizer
        ? { granularity, rows, binarizer, threshold, slope, noise, initialScore }
        : null,
    trainWeights: name === 'finetune',
    trainBatchNorm: trainBatchNorm ?? true,
  };
}

/** Adam with PyTorch's defaults, or SGD with momentum. */
export function optimizerSpec(training: Experiment['training']): OptimizerSpec {
  const { weightDecay, momentum } = training;
  return training.optimizer === 'adam'
    ? { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay }
    : { kind: 'sgd', momentum, weightDecay };
}

export function scheduleOf(training: Experiment['training']): Schedule {
  return training.schedule === 'step'
    ? { kind: 'step', epochs: training.stepEpochs, factor: training.stepFactor }
    : { kind: training.schedule };
}

/** What the engine needs to train the experiment's task on a backbone. */
export function trainingPlan(experiment: Experiment, backbone: Backbone, classes: number): TrainingPlan {
  const { batchSize, imageSize, seed } = experiment.training;
  return {
    graph: withClasses(backbone.graph, classes),
    backbone,
    method: methodSpec(experiment),
    optimizer: optimizerSpec(experiment.training),
    batchSize,
    imageSize,
    seed,
  };
}
