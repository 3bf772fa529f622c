import { taskTensors } from '../../adaption/parameters.js';
import type { TrainingPlan } from '../engine.js';
import { StateVector } from './stateVector.js';

/** A task's tensors and optimiser moments in an engine's memory: flat vectors, as {@link StateVector} packs them. */
export class TaskVectors<Tensor> {
  readonly layout: StateVector;
  /** [tensors, moments …] */
  readonly vectors: readonly Tensor[];

  constructor(
    builder: { persistent(label: string, bytes: number): Tensor },
    { graph, method, optimizer }: TrainingPlan,
  ) {
    this.layout = new StateVector(taskTensors(graph, method), optimizer.kind);
    this.vectors = Array.from({ length: 1 + this.layout.momentCount }, (_, i) =>
      builder.persistent(i === 0 ? "the task's tensors" : `optimiser moments ${i}`, 4 * this.layout.length),
    );
  }
}
