/** @file Learning-rate schedules: a factor on the configured rates, a function of the step alone. */
import type { ParameterGroup } from '../adaption/method.js';

export type Schedule =
  | { readonly kind: 'constant' }
  /** ½(1 + cos(π · step / totalSteps)): from 1 before the first step towards 0 after the last (arXiv:1608.03983). */
  | { readonly kind: 'cosine' }
  /** factor^⌊epoch / epochs⌋ */
  | { readonly kind: 'step'; readonly epochs: number; readonly factor: number };

/** Base learning rate of every parameter group. */
export type LearningRates = Readonly<Record<ParameterGroup, number>>;

/**
 * What the base learning rates are multiplied with.
 * @param step 0-based, over the whole run
 */
export function scheduleFactor(
  schedule: Schedule,
  step: number,
  totalSteps: number,
  stepsPerEpoch: number,
): number {
  switch (schedule.kind) {
    case 'constant':
      return 1;
    case 'cosine':
      return 0.5 * (1 + Math.cos((Math.PI * step) / totalSteps));
    case 'step':
      return schedule.factor ** Math.floor(step / (schedule.epochs * stepsPerEpoch));
  }
}

/** The learning rates of one step. */
export function scaleRates(rates: LearningRates, factor: number): LearningRates {
  return {
    masks: rates.masks * factor,
    weights: rates.weights * factor,
    batchNorm: rates.batchNorm * factor,
    head: rates.head * factor,
  };
}
