import { TaskVectors } from '../compiled/taskVectors.js';
import type { Tensor } from './plan.js';

/** A task's tensors and optimiser moments on the device. */
export class TaskTensors extends TaskVectors<Tensor> {
  get tensors(): Tensor {
    return this.vectors[0];
  }

  /** By the names under which update kernels bind them. */
  get optimized(): Record<string, Tensor> {
    const [tensors, moment1, moment2] = this.vectors;
    return { tensors, moment1, moment2 };
  }
}
