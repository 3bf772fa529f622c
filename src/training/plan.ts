/** @file From an experiment to what engines and the training loop take. */
import type { MaskSpec, MethodSpec, OptimizerSpec } from '../adaption/method.js';
import type { Experiment } from '../config/schema.js';
import type { TrainingPlan } from '../engines/engine.js';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { withClasses } from '../model/graph.js';
import type { Schedule } from './schedule.js';

/**
 * The method of an experiment, every null replaced by the method's own default.
 * @throws UserError on settings that contradict each other
 */
export function methodSpec(method: Experiment['method']): MethodSpec {
  const masked = method.name === 'xbm' || method.name === 'piggyback';
  return {
    name: method.name,
    mask: masked ? maskSpec(method) : null,
    trainWeights: method.name === 'finetune',
    trainBatchNorm: method.trainBatchNorm ?? method.name !== 'classifier',
  };
}

function maskSpec(method: Experiment['method']): MaskSpec {
  const { rows, threshold, slope, noise, initialScore } = method;
  const granularity = method.granularity ?? (method.name === 'xbm' ? 'column' : 'element');
  const binarizer = method.binarizer ?? (method.name === 'xbm' ? 'sigmoid' : 'identity');
  if (noise && binarizer === 'identity') {
    throw new UserError(
      'method.noise adds Gumbel noise to the sigmoid, but method.binarizer is identity',
      'Set method.binarizer=sigmoid, or method.noise=false.',
    );
  }
  if (initialScore <= threshold) {
    throw new UserError(
      `method.initialScore (${initialScore}) must exceed method.threshold (${threshold}): masks start with every bit on`,
    );
  }
  return { granularity, rows, binarizer, threshold, slope, noise, initialScore };
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
    method: methodSpec(experiment.method),
    optimizer: optimizerSpec(experiment.training),
    batchSize,
    imageSize,
    seed,
  };
}
