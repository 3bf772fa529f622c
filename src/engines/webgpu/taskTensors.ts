import { taskTensors } from '../../adaption/parameters.js';
import { StateVector } from '../compiled/stateVector.js';
import type { TrainingPlan } from '../engine.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';

/** A task's tensors and optimiser moments on the device: flat vectors, as {@link StateVector} packs them. */
export class TaskTensors {
  readonly layout: StateVector;
  /** [tensors, moments …] */
  readonly vectors: readonly Tensor[];

  constructor(builder: PlanBuilder, { graph, method, optimizer }: TrainingPlan) {
    this.layout = new StateVector(taskTensors(graph, method), optimizer.kind);
    this.vectors = Array.from({ length: 1 + this.layout.momentCount }, (_, i) =>
      builder.persistent(i === 0 ? "the task's tensors" : `optimiser moments ${i}`, 4 * this.layout.length),
    );
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
