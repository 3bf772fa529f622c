import { taskTensors } from '../../adaption/parameters.js';
import { StateVector } from '../compiled/stateVector.js';
import type { TrainingPlan } from '../engine.js';
import type { ProgramBuilder, Slice, Tensor } from './program.js';

/** A task's tensors and optimiser moments in the arena: flat vectors, as {@link StateVector} packs them. */
export class TaskTensors {
  readonly layout: StateVector;
  /** [tensors, moments …] */
  readonly vectors: readonly Tensor[];

  constructor(builder: ProgramBuilder, { graph, method, optimizer }: TrainingPlan) {
    this.layout = new StateVector(taskTensors(graph, method), optimizer.kind);
    this.vectors = Array.from({ length: 1 + this.layout.momentCount }, (_, i) =>
      builder.persistent(i === 0 ? "the task's tensors" : `optimiser moments ${i}`, 4 * this.layout.length),
    );
  }

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
