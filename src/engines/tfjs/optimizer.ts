/** @file Adam and SGD in PyTorch's form; weight decay is added to the gradient. */
import type * as tf from '@tensorflow/tfjs';
import type { OptimizerSpec } from '../../adaption/method.js';
import { momentNames } from '../../adaption/parameters.js';

/** New values by name: of the parameter and of its moments. */
export type Update = Record<string, tf.Tensor>;

/**
 * One optimiser step of one parameter.
 * @param step 0-based
 * @param moment the current moments by name
 */
export function updateParameter(
  optimizer: OptimizerSpec,
  name: string,
  parameter: tf.Tensor,
  gradient: tf.Tensor,
  moment: (name: string) => tf.Tensor,
  { step, learningRate }: { step: number; learningRate: number },
): { parameter: tf.Tensor; moments: Update } {
  const names = momentNames(name, optimizer.kind);
  const decayed = gradient.add(parameter.mul(optimizer.weightDecay));
  if (optimizer.kind === 'sgd') {
    const buffer = moment(names[0]).mul(optimizer.momentum).add(decayed);
    return { parameter: parameter.sub(buffer.mul(learningRate)), moments: { [names[0]]: buffer } };
  }
  const { beta1, beta2, epsilon } = optimizer;
  const first = moment(names[0])
    .mul(beta1)
    .add(decayed.mul(1 - beta1));
  const second = moment(names[1])
    .mul(beta2)
    .add(decayed.square().mul(1 - beta2));
  // Bias correction counts steps from 1.
  const mean = first.div(1 - beta1 ** (step + 1));
  const deviation = second.div(1 - beta2 ** (step + 1)).sqrt();
  return {
    parameter: parameter.sub(mean.div(deviation.add(epsilon)).mul(learningRate)),
    moments: { [names[0]]: first, [names[1]]: second },
  };
}
