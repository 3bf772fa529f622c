/** @file One optimiser step of one parameter, in PyTorch's form; weight decay is added to the gradient. */
import type { OptimizerSpec } from '../../../adaption/method.js';
import type { BufferType } from '../kernel.js';

/** Buffers with one value per value of the task's flat state; the second moment is Adam's only. */
export function optimizerSource(optimizer: OptimizerSpec): {
  buffers: Record<string, BufferType>;
  functions: string;
} {
  const decayed = `gradient + ${wgslFloat(optimizer.weightDecay)} * tensors[index]`;
  if (optimizer.kind === 'sgd') {
    return {
      buffers: { tensors: 'read_write f32', moment1: 'read_write f32' },
      functions: `
fn update(index: u32, gradient: f32, learningRate: f32) {
  let momentum = moment1[index] * ${wgslFloat(optimizer.momentum)} + (${decayed});
  moment1[index] = momentum;
  tensors[index] -= learningRate * momentum;
}`,
    };
  }
  const { beta1, beta2, epsilon } = optimizer;
  return {
    buffers: { tensors: 'read_write f32', moment1: 'read_write f32', moment2: 'read_write f32' },
    functions: `
fn update(index: u32, gradient: f32, learningRate: f32) {
  let decayed = ${decayed};
  let first = moment1[index] * ${wgslFloat(beta1)} + decayed * ${wgslFloat(1 - beta1)};
  let second = moment2[index] * ${wgslFloat(beta2)} + decayed * decayed * ${wgslFloat(1 - beta2)};
  moment1[index] = first;
  moment2[index] = second;
  let deviation = sqrt(second / step.correction2);
  tensors[index] -= learningRate * (first / step.correction1) / (deviation + ${wgslFloat(epsilon)});
}`,
  };
}

/** A literal that WGSL reads as a float. */
export const wgslFloat = (value: number): string => `f32(${Math.fround(value).toExponential()})`;
