/** @file Making a backbone: float training from random weights, as finetuning at full precision. */
import type { Task } from '../adaption/task.js';
import type { Experiment } from '../config/schema.js';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { sealBackbone } from '../model/hash.js';

/**
 * The experiment that pretraining runs. Its quantisation comes afterwards, so it does not depend on the bits.
 * @throws UserError when the experiment is not one of finetuning
 */
export function pretrainingExperiment(experiment: Experiment): Experiment {
  const { method, backbone } = experiment;
  if (method.name !== 'finetune' || method.trainBatchNorm === false) {
    throw new UserError(
      'a backbone is trained with every weight and batch norm: method.name must be finetune',
      'Start from the packaged config: `xbm backbone train --set data.root=FOLDER`.',
    );
  }
  return { ...experiment, backbone: { ...backbone, weights: 'random', weightBits: 32, activationBits: 32 } };
}

/**
 * The trained task as a full-precision backbone with its own head.
 * @param start what training started from
 */
export function backboneFromTask(task: Task, start: Backbone): Backbone {
  const entries = Object.entries(task.tensors);
  const { sha256: _, ...rest } = start;
  return sealBackbone({
    ...rest,
    graph: task.graph,
    convs: task.convs,
    batchNorms: Object.fromEntries(entries.filter(([name]) => name in start.batchNorms)),
    head: { weight: task.tensors['fc.weight'], bias: task.tensors['fc.bias'] },
    classes: task.classes,
  });
}
