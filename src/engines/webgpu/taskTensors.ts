import { TaskVectors } from '../compiled/taskVectors.js';
import type { TrainingPlan } from '../engine.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';

/** A task's tensors and optimiser moments on the device. */
export class TaskTensors extends TaskVectors<Tensor> {
  constructor(builder: PlanBuilder, training: TrainingPlan) {
    const persistent = (label: string, bytes: number) =>
      builder.persistent(label, bytes, null, { inParts: true });
    super({ persistent }, training);
  }

  get tensors(): Tensor {
    return this.vectors[0];
  }

  /** By the names under which update kernels bind them. */
  get optimized(): Record<string, Tensor> {
    const [tensors, moment1, moment2] = this.vectors;
    return { tensors, moment1, moment2 };
  }
}
