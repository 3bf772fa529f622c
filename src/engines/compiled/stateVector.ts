/** @file A task's tensors as one flat vector, in the order of their specs, so that a kernel finds each at an offset. */

import type { OptimizerSpec } from '../../adaption/method.js';
import { momentNames, type TaskState, type TaskTensorSpec } from '../../adaption/parameters.js';

export class StateVector {
  readonly length: number;
  readonly #offsets = new Map<string, number>();

  constructor(
    readonly specs: readonly TaskTensorSpec[],
    readonly optimizer: OptimizerSpec['kind'],
  ) {
    let length = 0;
    for (const spec of specs) {
      this.#offsets.set(spec.name, length);
      length += sizeOf(spec);
    }
    this.length = length;
  }

  offset(name: string): number {
    const offset = this.#offsets.get(name);
    if (offset === undefined) throw new Error(`no tensor named ${name} in this task`);
    return offset;
  }

  /** How many vectors of moments there are, each as long as the tensors'. */
  get momentCount(): number {
    return momentNames('', this.optimizer).length;
  }

  /** [tensors, first moments, second moments]; moments of what is not trained stay 0. */
  pack(state: TaskState): Float32Array<ArrayBuffer>[] {
    const vectors = Array.from({ length: 1 + this.momentCount }, () => new Float32Array(this.length));
    for (const spec of this.specs) {
      const names = [spec.name, ...this.#moments(spec)];
      names.forEach((name, v) => {
        const values = (v === 0 ? state.tensors : state.moments)[name];
        if (values?.length !== sizeOf(spec)) {
          const found = values?.length ?? 'no';
          throw new Error(`task state: ${name} has ${found} values, expected ${sizeOf(spec)}`);
        }
        vectors[v].set(values, this.offset(spec.name));
      });
    }
    return vectors;
  }

  unpack(vectors: readonly Float32Array[], step: number): TaskState {
    const state: TaskState = { step, tensors: {}, moments: {} };
    for (const spec of this.specs) {
      const start = this.offset(spec.name);
      const names = [spec.name, ...this.#moments(spec)];
      names.forEach((name, v) => {
        const values = vectors[v].slice(start, start + sizeOf(spec));
        if (v === 0) state.tensors[name] = values;
        else state.moments[name] = values;
      });
    }
    return state;
  }

  #moments(spec: TaskTensorSpec): string[] {
    return spec.role === 'trained' ? momentNames(spec.name, this.optimizer) : [];
  }
}

const sizeOf = ({ shape }: TaskTensorSpec): number => shape.reduce((a, b) => a * b, 1);
