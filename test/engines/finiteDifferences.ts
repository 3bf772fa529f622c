import { taskTensors } from '../../src/adaption/parameters.js';
import { uniform } from '../../src/random.js';
import { type OracleInput, oracle } from './oracle.js';

/** Derivatives of the loss at some indices of one tensor. */
export interface SampledGradient {
  readonly name: string;
  readonly indices: readonly number[];
  readonly values: readonly number[];
}

/**
 * Central differences of the oracle's surrogate loss around a state, for every trained tensor.
 * @param perTensor indices to try of each tensor
 */
export function finiteDifferences(input: OracleInput, perTensor: number): SampledGradient[] {
  const { offsets } = oracle(input);
  const width = 2e-8; // filters that are off amplify by 1/√eps, so keep well inside their bend
  return taskTensors(input.graph, input.method)
    .filter(({ role }) => role === 'trained')
    .map(({ name }, key) => {
      const values = Float64Array.from(input.tensors[name]);
      const indices = sampleIndices(values.length, perTensor, key);
      const loss = (index: number, change: number) => {
        const moved = values.slice();
        moved[index] += change;
        return oracle({ ...input, tensors: { ...input.tensors, [name]: moved } }, offsets).loss;
      };
      const slopes = indices.map((index) => (loss(index, width) - loss(index, -width)) / (2 * width));
      return { name, indices, values: slopes };
    });
}

function sampleIndices(length: number, count: number, key: number): number[] {
  if (length <= count) return Array.from({ length }, (_, i) => i);
  return Array.from({ length: count }, (_, i) => Math.floor(((i + uniform(key, i)) * length) / count));
}
