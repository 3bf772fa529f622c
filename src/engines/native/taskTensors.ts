import { TaskVectors } from '../compiled/taskVectors.js';
import type { Slice, Tensor } from './program.js';

/** A task's tensors and optimiser moments in the arena. */
export class TaskTensors extends TaskVectors<Tensor> {
  get(name: string): Slice {
    return { tensor: this.vectors[0], offset: 4 * this.layout.offset(name) };
  }

  /** Moments of a trained tensor by the names under which kernels take them; null where the optimiser keeps none. */
  moments(name: string): { moment1: Slice; moment2: Slice | null } {
    const [, first, second] = this.vectors;
    const offset = 4 * this.layout.offset(name);
    return { moment1: { tensor: first, offset }, moment2: second ? { tensor: second, offset } : null };
  }
}
