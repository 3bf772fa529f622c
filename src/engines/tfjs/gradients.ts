import * as tf from '@tensorflow/tfjs';
import { type TaskState, taskTensors } from '../../adaption/parameters.js';
import type { Batch } from '../../data/batch.js';
import { checkTrainingBatch } from '../checkBatch.js';
import type { TrainingPlan } from '../engine.js';
import { startBackend } from './backend.js';
import { DeviceTensors } from './deviceTensors.js';
import { disposeConvs, disposePass, freezeConvs, lossAndGradients } from './lossAndGradients.js';

export interface HostGradients {
  /** Mean cross-entropy over the batch, nats. */
  readonly loss: number;
  /** Of the training forward pass, [batch, classes]. */
  readonly logits: Float32Array;
  /** Of the loss, without weight decay, by the name of every trained tensor. */
  readonly gradients: Readonly<Record<string, Float32Array>>;
}

/** Loss, logits and gradients of one training step that moves nothing: the oracle that tests compare engines with. */
export async function gradients(
  plan: TrainingPlan,
  state: TaskState,
  batch: Batch,
  step: number,
): Promise<HostGradients> {
  await startBackend(0);
  checkTrainingBatch(batch, plan);
  const specs = taskTensors(plan.graph, plan.method);
  const task = DeviceTensors.upload(specs, state, plan.optimizer);
  const convs = freezeConvs(plan);
  const host: Record<string, Float32Array> = {};
  let loss = Number.NaN;
  let logits = new Float32Array();
  tf.tidy(() => {
    const result = lossAndGradients(plan, specs, convs, task, batch, step);
    for (const [name, tensor] of Object.entries(result.gradients)) host[name] = copy(tensor);
    [loss] = copy(result.loss);
    logits = copy(result.pass.logits);
    disposePass(result.pass);
  });
  task.dispose();
  disposeConvs(convs);
  return { loss, logits, gradients: host };
}

function copy(tensor: tf.Tensor): Float32Array<ArrayBuffer> {
  return Float32Array.from(tensor.dataSync<'float32'>());
}
