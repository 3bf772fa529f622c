import * as tf from '@tensorflow/tfjs';
import { momentNames, type TaskState, type TaskTensorSpec, taskTensors } from '../../adaption/parameters.js';
import type { Batch } from '../../data/batch.js';
import { BATCH_NORM_MOMENTUM } from '../../model/graph.js';
import { checkBatchStatistics, checkTrainingBatch } from '../checkBatch.js';
import type { StepMetrics, StepSettings, TrainingPlan, TrainingSession } from '../engine.js';
import { DeviceTensors } from './deviceTensors.js';
import {
  disposeConvs,
  disposePass,
  type FrozenConvs,
  freezeConvs,
  type LossAndGradients,
  lossAndGradients,
} from './lossAndGradients.js';
import { updateParameter } from './optimizer.js';

/** Trains a task: each step is a forward and backward pass, the optimiser, and the running statistics. */
export class TfjsTrainingSession implements TrainingSession {
  readonly #plan: TrainingPlan;
  readonly #specs: readonly TaskTensorSpec[];
  readonly #task: DeviceTensors;
  readonly #convs: FrozenConvs;
  #stepsDone: number;

  constructor(plan: TrainingPlan, state: TaskState) {
    checkBatchStatistics(plan);
    this.#plan = plan;
    this.#specs = taskTensors(plan.graph, plan.method);
    this.#task = DeviceTensors.upload(this.#specs, state, plan.optimizer);
    this.#convs = freezeConvs(plan);
    this.#stepsDone = state.step;
  }

  async trainStep(batch: Batch, at: StepSettings): Promise<{ metrics: Promise<StepMetrics> }> {
    checkTrainingBatch(batch, this.#plan);
    const [loss, correct] = tf.tidy(() => {
      const result = lossAndGradients(this.#plan, this.#specs, this.#convs, this.#task, batch, at.step);
      this.#updateParameters(result.gradients, at);
      this.#updateRunningStatistics(result.pass);
      const predicted = result.pass.logits.argMax(1);
      const hits = predicted.equal(tf.tensor1d(batch.labels, 'int32')).cast('int32').sum();
      disposePass(result.pass);
      return [result.loss, hits];
    });
    this.#stepsDone = at.step + 1;
    return { metrics: readMetrics(loss, correct) };
  }

  async readState(): Promise<TaskState> {
    const state: TaskState = { step: this.#stepsDone, tensors: {}, moments: {} };
    for (const { name, role } of this.#specs) {
      state.tensors[name] = await this.#task.read(name);
      if (role !== 'trained') continue;
      for (const moment of momentNames(name, this.#plan.optimizer.kind)) {
        state.moments[moment] = await this.#task.read(moment);
      }
    }
    return state;
  }

  async close(): Promise<void> {
    this.#task.dispose();
    disposeConvs(this.#convs);
  }

  #updateParameters(gradients: LossAndGradients['gradients'], { step, learningRates }: StepSettings): void {
    for (const { name, group, role } of this.#specs) {
      if (role !== 'trained') continue;
      const { parameter, moments } = updateParameter(
        this.#plan.optimizer,
        name,
        this.#task.get(name),
        gradients[name],
        (moment) => this.#task.get(moment),
        { step, learningRate: learningRates[group] },
      );
      this.#task.replace(name, tf.keep(parameter));
      for (const [moment, value] of Object.entries(moments)) this.#task.replace(moment, tf.keep(value));
    }
  }

  /** running = 0.9·running + 0.1·batch, with the unbiased variance. */
  #updateRunningStatistics({ statistics }: LossAndGradients['pass']): void {
    for (const [layer, { mean, variance, count }] of statistics) {
      const unbiased = variance.mul(count / (count - 1));
      for (const [name, value] of [
        [`${layer}.running_mean`, mean],
        [`${layer}.running_var`, unbiased],
      ] as const) {
        const running = this.#task
          .get(name)
          .mul(1 - BATCH_NORM_MOMENTUM)
          .add(value.mul(BATCH_NORM_MOMENTUM));
        this.#task.replace(name, tf.keep(running));
      }
    }
  }
}

async function readMetrics(loss: tf.Tensor, correct: tf.Tensor): Promise<StepMetrics> {
  const [lossValues, correctValues] = await Promise.all([loss.data(), correct.data()]);
  tf.dispose([loss, correct]);
  return { loss: lossValues[0], correct: correctValues[0] };
}
