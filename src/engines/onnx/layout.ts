/**
 * @file How a task's state is laid out for the training graph: one flat vector per parameter group and moment,
 * one for the running statistics. The optimiser then runs on a few long vectors instead of hundreds of short ones.
 */
import type { OptimizerSpec, ParameterGroup } from '../../adaption/method.js';
import { momentNames, type TaskState, type TaskTensorSpec } from '../../adaption/parameters.js';

export interface FlatVector {
  /** Tensors in order; their values lie one after the other. */
  readonly specs: readonly TaskTensorSpec[];
  readonly sizes: readonly number[];
  readonly length: number;
}

export interface StateLayout {
  /** Trained parameters by group; groups without any are absent. */
  readonly groups: ReadonlyMap<ParameterGroup, FlatVector>;
  /** Running means and variances that training updates; null when batch norm is frozen. */
  readonly statistics: FlatVector | null;
  /** Suffixes of the moment vectors: Adam `m`, `v`; SGD `momentum`. */
  readonly moments: readonly string[];
}

/** Lays out the tensors of {@link taskTensors}. */
export function stateLayout(specs: readonly TaskTensorSpec[], optimizer: OptimizerSpec['kind']): StateLayout {
  const groups = new Map<ParameterGroup, FlatVector>();
  const order: ParameterGroup[] = ['masks', 'weights', 'batchNorm', 'head'];
  for (const group of order) {
    const members = specs.filter((spec) => spec.role === 'trained' && spec.group === group);
    if (members.length > 0) groups.set(group, flatVector(members));
  }
  const statistics = specs.filter((spec) => spec.role === 'statistic');
  return {
    groups,
    statistics: statistics.length > 0 ? flatVector(statistics) : null,
    moments: momentNames('', optimizer).map((name) => name.slice(1)),
  };
}

function flatVector(specs: readonly TaskTensorSpec[]): FlatVector {
  const sizes = specs.map((spec) => spec.shape.reduce((a, b) => a * b, 1));
  return { specs, sizes, length: sizes.reduce((a, b) => a + b, 0) };
}

/** Gathers the named tensors into one vector; `suffix` selects a moment of each. */
export function gather(
  vector: FlatVector,
  tensors: Readonly<Record<string, Float32Array>>,
  suffix = '',
): Float32Array {
  const flat = new Float32Array(vector.length);
  let offset = 0;
  vector.specs.forEach((spec, i) => {
    const values = tensors[spec.name + suffix];
    if (values?.length !== vector.sizes[i]) {
      throw new Error(
        `state: ${spec.name}${suffix} has ${values?.length} values, expected ${vector.sizes[i]}`,
      );
    }
    flat.set(values, offset);
    offset += values.length;
  });
  return flat;
}

/** The inverse of {@link gather}: copies the vector's parts into `tensors`. */
export function scatter(
  vector: FlatVector,
  flat: Float32Array,
  tensors: Record<string, Float32Array>,
  suffix = '',
): void {
  let offset = 0;
  vector.specs.forEach((spec, i) => {
    tensors[spec.name + suffix] = flat.slice(offset, offset + vector.sizes[i]);
    offset += vector.sizes[i];
  });
}

/** All vectors of a state by the name of the graph input that takes them. */
export function stateToVectors(layout: StateLayout, state: TaskState): Map<string, Float32Array> {
  const vectors = new Map<string, Float32Array>();
  for (const [group, vector] of layout.groups) {
    vectors.set(group, gather(vector, state.tensors));
    for (const moment of layout.moments)
      vectors.set(`${group}.${moment}`, gather(vector, state.moments, `.${moment}`));
  }
  if (layout.statistics) vectors.set('statistics', gather(layout.statistics, state.tensors));
  return vectors;
}

/** The state after training: `initial` gives the constant tensors, `vectors` everything that moved. */
export function vectorsToState(
  layout: StateLayout,
  vectors: ReadonlyMap<string, Float32Array>,
  initial: TaskState,
  step: number,
): TaskState {
  const state: TaskState = { step, tensors: {}, moments: {} };
  for (const [name, values] of Object.entries(initial.tensors)) state.tensors[name] = values.slice();
  for (const [group, vector] of layout.groups) {
    scatter(vector, vectors.get(group)!, state.tensors);
    for (const moment of layout.moments) {
      scatter(vector, vectors.get(`${group}.${moment}`)!, state.moments, `.${moment}`);
    }
  }
  if (layout.statistics) scatter(layout.statistics, vectors.get('statistics')!, state.tensors);
  return state;
}
