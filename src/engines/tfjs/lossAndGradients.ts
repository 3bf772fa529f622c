import * as tf from '@tensorflow/tfjs';
import type { TaskTensorSpec } from '../../adaption/parameters.js';
import type { Batch } from '../../data/batch.js';
import { layersOfKind } from '../../model/graph.js';
import type { TrainingPlan } from '../engine.js';
import type { DeviceTensors } from './deviceTensors.js';
import { effectiveWeight } from './effectiveWeight.js';
import { type ForwardPass, forward } from './forward.js';
import { disposeConv, type FrozenConv, freezeConv } from './frozenConv.js';
import { crossEntropy, normalize } from './layers.js';

/** The backbone's convolutions on the device, by name. */
export type FrozenConvs = ReadonlyMap<string, FrozenConv>;

export function freezeConvs(plan: TrainingPlan): FrozenConvs {
  return new Map(
    layersOfKind(plan.graph, 'conv').map((conv) => [
      conv.name,
      freezeConv(conv, plan.backbone.convs[conv.name]),
    ]),
  );
}

export function disposeConvs(convs: FrozenConvs): void {
  for (const conv of convs.values()) disposeConv(conv);
}

export interface LossAndGradients {
  /** Mean cross-entropy over the batch, nats. */
  readonly loss: tf.Scalar;
  /** Of the loss, by the name of every trained tensor. */
  readonly gradients: Readonly<Record<string, tf.Tensor>>;
  readonly pass: Pick<ForwardPass, 'logits' | 'statistics'>;
}

/**
 * One forward and backward pass of training. Call it inside `tf.tidy`.
 * @param specs of every tensor of the task
 * @param step 0-based; keys the noise
 */
export function lossAndGradients(
  plan: TrainingPlan,
  specs: readonly TaskTensorSpec[],
  convs: FrozenConvs,
  task: DeviceTensors,
  batch: Batch,
  step: number,
): LossAndGradients {
  const { graph, backbone, method, seed } = plan;
  const input = normalize(batch.pixels, plan.imageSize, backbone.normalization);
  const labels = tf.tensor1d(batch.labels, 'int32');
  const names = specs.filter(({ role }) => role === 'trained').map(({ name }) => name);
  let pass: ForwardPass | undefined;

  const loss = (...trained: tf.Tensor[]): tf.Scalar => {
    const variables = new Map(names.map((name, i) => [name, trained[i]]));
    const tensor = (name: string) => variables.get(name) ?? task.get(name);
    pass = forward(
      {
        graph,
        weight: (conv) => effectiveWeight(conv, method, convs.get(conv.name)!, tensor, { seed, step }),
        tensor,
        clips: backbone.clips,
        activationBits: backbone.activationBits,
        useBatchStatistics: method.trainBatchNorm,
      },
      input,
    );
    // Autodiff frees what the loss does not return.
    tf.keep(pass.logits);
    for (const { mean, variance } of pass.statistics.values()) [mean, variance].map(tf.keep);
    return crossEntropy(pass.logits, labels);
  };
  const { value, grads } = tf.valueAndGrads(loss)(names.map((name) => task.get(name)));
  const { logits, statistics } = pass!;
  return {
    loss: value as tf.Scalar,
    gradients: Object.fromEntries(names.map((name, i) => [name, grads[i]])),
    pass: { logits, statistics },
  };
}

/** Frees what {@link lossAndGradients} keeps beyond `tf.tidy`. */
export function disposePass({ logits, statistics }: LossAndGradients['pass']): void {
  tf.dispose([logits, ...[...statistics.values()].flatMap(({ mean, variance }) => [mean, variance])]);
}
