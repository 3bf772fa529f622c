/** @file Emits one optimiser update of a flat parameter vector. */
import type { OptimizerSpec } from '../../adaption/method.js';
import type { GraphBuilder } from './graphBuilder.js';

export interface OptimizerInputs {
  readonly parameters: string;
  readonly gradient: string;
  /** Moment vectors by suffix: `m`, `v` or `momentum`. */
  readonly moments: Readonly<Record<string, string>>;
  /** Scalars. */
  readonly learningRate: string;
  /** 1 − β1^t and 1 − β2^t; unused by SGD. */
  readonly biasCorrections: readonly [string, string] | null;
}

/**
 * Adam (Kingma & Ba 2015, algorithm 1) or SGD with momentum in PyTorch's form (buffer = momentum · buffer + gradient);
 * weight decay is added to the gradient.
 * @returns the new parameters and moments
 */
export function emitUpdate(
  builder: GraphBuilder,
  spec: OptimizerSpec,
  inputs: OptimizerInputs,
): { parameters: string; moments: Record<string, string> } {
  const times = (value: string, factor: number) => builder.op('Mul', [value, builder.scalar(factor)]);
  const add = (a: string, b: string) => builder.op('Add', [a, b]);
  const { parameters, learningRate, moments } = inputs;
  const gradient =
    spec.weightDecay > 0 ? add(inputs.gradient, times(parameters, spec.weightDecay)) : inputs.gradient;
  if (spec.kind === 'sgd') {
    const momentum = add(times(moments.momentum, spec.momentum), gradient);
    const change = builder.op('Mul', [momentum, learningRate]);
    return { parameters: builder.op('Sub', [parameters, change]), moments: { momentum } };
  }
  const m = add(times(moments.m, spec.beta1), times(gradient, 1 - spec.beta1));
  const v = add(times(moments.v, spec.beta2), times(builder.op('Mul', [gradient, gradient]), 1 - spec.beta2));
  const [correction1, correction2] = inputs.biasCorrections!;
  const denominator = add(
    builder.op('Sqrt', [builder.op('Div', [v, correction2])]),
    builder.scalar(spec.epsilon),
  );
  const rate = builder.op('Div', [learningRate, correction1]);
  const change = builder.op('Mul', [builder.op('Div', [m, denominator]), rate]);
  return { parameters: builder.op('Sub', [parameters, change]), moments: { m, v } };
}
