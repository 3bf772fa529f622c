/** @file What a task owns: the list of its parameters and statistics, and their values before the first step. */
import { type Backbone, dequantize } from '../model/backbone.js';
import { headOf, type LayerGraph, layersOfKind } from '../model/graph.js';
import { hashString, uniform } from '../random.js';
import { maskShape } from './geometry.js';
import type { MethodSpec, OptimizerSpec, ParameterGroup } from './method.js';

export interface TaskTensorSpec {
  /** `<conv>.scores`, `<conv>.weight`, `<bn>.weight|bias|running_mean|running_var`, `fc.weight|bias`. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly group: ParameterGroup;
  /** `trained`: moved by the optimiser; `statistic`: running mean or variance; `constant`: kept as it is. */
  readonly role: 'trained' | 'statistic' | 'constant';
}

/** All that a task owns, on the host. A snapshot between two steps: resuming from it is exact. */
export interface TaskState {
  /** Steps done. */
  step: number;
  /** By {@link TaskTensorSpec} name. */
  tensors: Record<string, Float32Array>;
  /** Optimiser moments of every trained tensor: Adam `<name>.m` and `<name>.v`, SGD `<name>.momentum`. */
  moments: Record<string, Float32Array>;
}

/**
 * The tensors of a task in a fixed order (graph order), the same for every engine.
 * @param graph with the task's number of classes in its head
 */
export function taskTensors(graph: LayerGraph, method: MethodSpec): TaskTensorSpec[] {
  const specs: TaskTensorSpec[] = [];
  for (const layer of graph.layers) {
    if (layer.kind === 'conv' && method.mask) {
      const shape = maskShape(layer, method.mask);
      specs.push({ name: `${layer.name}.scores`, shape, group: 'masks', role: 'trained' });
    } else if (layer.kind === 'conv' && method.trainWeights) {
      const shape = [layer.outChannels, layer.inChannels, layer.kernel, layer.kernel];
      specs.push({ name: `${layer.name}.weight`, shape, group: 'weights', role: 'trained' });
    } else if (layer.kind === 'batchNorm') {
      const shape = [layer.channels];
      const affine = method.trainBatchNorm ? 'trained' : 'constant';
      const statistic = method.trainBatchNorm ? 'statistic' : 'constant';
      const add = (suffix: string, role: TaskTensorSpec['role']) =>
        specs.push({ name: `${layer.name}.${suffix}`, shape, group: 'batchNorm', role });
      add('weight', affine);
      add('bias', affine);
      add('running_mean', statistic);
      add('running_var', statistic);
    } else if (layer.kind === 'linear') {
      const shape = [layer.outFeatures, layer.inFeatures];
      specs.push({ name: `${layer.name}.weight`, shape, group: 'head', role: 'trained' });
      specs.push({ name: `${layer.name}.bias`, shape: [layer.outFeatures], group: 'head', role: 'trained' });
    }
  }
  return specs;
}

/** Names of the optimiser moments of one trained tensor. */
export function momentNames(tensorName: string, optimizer: OptimizerSpec['kind']): string[] {
  return optimizer === 'adam' ? [`${tensorName}.m`, `${tensorName}.v`] : [`${tensorName}.momentum`];
}

/**
 * The state before the first step: every mask bit on, batch norm (and weights, for finetune) from the backbone,
 * the head drawn uniformly from ±1/√features as in PyTorch's Linear.
 * @param graph with the task's number of classes in its head
 */
export function initialTaskState(
  graph: LayerGraph,
  backbone: Backbone,
  method: MethodSpec,
  optimizer: OptimizerSpec,
  seed: number,
): TaskState {
  const head = headOf(graph);
  const bound = 1 / Math.sqrt(head.inFeatures);
  const convWeights = new Map(layersOfKind(graph, 'conv').map((conv) => [`${conv.name}.weight`, conv.name]));
  const state: TaskState = { step: 0, tensors: {}, moments: {} };
  for (const spec of taskTensors(graph, method)) {
    const size = spec.shape.reduce((a, b) => a * b, 1);
    if (spec.group === 'masks') {
      state.tensors[spec.name] = new Float32Array(size).fill(method.mask!.initialScore);
    } else if (spec.group === 'batchNorm') {
      state.tensors[spec.name] = backbone.batchNorms[spec.name].slice();
    } else if (spec.group === 'weights') {
      state.tensors[spec.name] = dequantize(backbone.convs[convWeights.get(spec.name)!]).slice();
    } else {
      const key = hashString(spec.name);
      state.tensors[spec.name] = Float32Array.from(
        { length: size },
        (_, i) => bound * (2 * uniform(seed, key, i) - 1),
      );
    }
    if (spec.role === 'trained') {
      for (const moment of momentNames(spec.name, optimizer.kind))
        state.moments[moment] = new Float32Array(size);
    }
  }
  return state;
}
