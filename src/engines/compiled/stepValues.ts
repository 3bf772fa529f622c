import type { OptimizerSpec } from '../../adaption/method.js';
import type { StepSettings } from '../engine.js';

/** Settings of one step by the names that kernels give them. */
export function stepValues(optimizer: OptimizerSpec, { step, learningRates }: StepSettings) {
  const correction = (beta: number) => 1 - beta ** (step + 1);
  return {
    learningRateMasks: learningRates.masks,
    learningRateWeights: learningRates.weights,
    learningRateBatchNorm: learningRates.batchNorm,
    learningRateHead: learningRates.head,
    correction1: optimizer.kind === 'adam' ? correction(optimizer.beta1) : 1,
    correction2: optimizer.kind === 'adam' ? correction(optimizer.beta2) : 1,
    index: step,
  };
}
