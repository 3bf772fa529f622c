/** @file A trained task: what remains of a task state once training is over. */

import { UserError } from '../errors.js';
import type { Backbone, ConvWeights } from '../model/backbone.js';
import { dequantize } from '../model/backbone.js';
import { type LayerGraph, layersOfKind, withClasses } from '../model/graph.js';
import { binarize, type FoldedNetwork, foldTask, quantizeToGrid } from './fold.js';
import type { MethodSpec } from './method.js';
import { type TaskState, taskTensors } from './parameters.js';

/** Where a task comes from. */
export interface TaskOrigin {
  readonly method: MethodSpec;
  /** Class names, in label order. */
  readonly classes: readonly string[];
  /** Height and width of the images it was trained on, pixels. */
  readonly imageSize: number;
  /** SHA-256 (hex) of the frozen backbone it belongs to. */
  readonly backboneSha256: string;
  /** Hash of the resolved experiment. */
  readonly configHash: string;
  readonly programVersion: string;
}

export interface Task extends TaskOrigin {
  /** With the task's classes in its head. */
  readonly graph: LayerGraph;
  /** Bits, each exactly 0 or 1, by convolution name; empty for methods without masks. */
  readonly masks: Readonly<Record<string, Uint8Array>>;
  /** The task's own weights by convolution name; empty but for finetune. */
  readonly convs: Readonly<Record<string, ConvWeights>>;
  /** Batch norm and head, by name. */
  readonly tensors: Readonly<Record<string, Float32Array>>;
}

/** Binarises the scores, or quantises the weights, of a trained state. */
export function taskFromState(state: TaskState, backbone: Backbone, origin: TaskOrigin): Task {
  const graph = withClasses(backbone.graph, origin.classes.length);
  const masks: Record<string, Uint8Array> = {};
  const convs: Record<string, ConvWeights> = {};
  const tensors: Record<string, Float32Array> = {};
  for (const { name, group } of taskTensors(graph, origin.method)) {
    const layer = name.slice(0, name.lastIndexOf('.'));
    if (group === 'masks') masks[layer] = binarize(state.tensors[name], origin.method.mask!);
    else if (group === 'weights') convs[layer] = quantizeToGrid(state.tensors[name], backbone.convs[layer]);
    else tensors[name] = state.tensors[name];
  }
  return { ...origin, graph, masks, convs, tensors };
}

/**
 * The network that inference runs.
 * @throws UserError naming both hashes when the task belongs to another backbone
 */
export function foldIntoBackbone(task: Task, backbone: Backbone): FoldedNetwork {
  if (task.backboneSha256 !== backbone.sha256) {
    throw new UserError(
      `the task was trained on backbone ${task.backboneSha256}, but this one is ${backbone.sha256}`,
      'Name the backbone that the task was trained on.',
    );
  }
  const own = Object.entries(task.convs).map(([name, weights]) => [`${name}.weight`, dequantize(weights)]);
  const tensors = { ...task.tensors, ...Object.fromEntries(own) };
  const folded = foldTask(task.graph, backbone, task.method, task.masks, tensors);
  return { ...folded, convs: { ...folded.convs, ...task.convs }, tensors: task.tensors };
}

/** Weights of a fine-tuned network whose level is not the backbone's; null: no levels were trained. */
export function changedLevels(
  { convs }: Pick<Task, 'convs'>,
  backbone: Pick<Backbone, 'convs'>,
): { changed: number; weights: number } | null {
  let changed = 0;
  let weights = 0;
  for (const [name, own] of Object.entries(convs)) {
    const frozen = backbone.convs[name];
    if (own.kind === 'float' || frozen.kind === 'float') return null;
    weights += own.levels.length;
    for (let i = 0; i < own.levels.length; i++) changed += Number(own.levels[i] !== frozen.levels[i]);
  }
  return weights === 0 ? null : { changed, weights };
}

/** Mask bits of one layer, or of all. */
export interface MaskShare {
  readonly bits: number;
  readonly off: number;
  /** Per cent of the bits that are 0. */
  readonly shareOff: number;
}

/** Share off per masked convolution, in graph order, and in total; 0 where there are no masks. */
export function maskShares(task: Pick<Task, 'graph' | 'masks'>): {
  layers: (MaskShare & { name: string })[];
  total: MaskShare;
} {
  const count = (masks: readonly Uint8Array[]): MaskShare => {
    let bits = 0;
    let on = 0;
    for (const mask of masks) {
      bits += mask.length;
      for (const bit of mask) on += bit;
    }
    return { bits, off: bits - on, shareOff: bits === 0 ? 0 : (100 * (bits - on)) / bits };
  };
  const names = layersOfKind(task.graph, 'conv')
    .map((conv) => conv.name)
    .filter((name) => task.masks[name]);
  return {
    layers: names.map((name) => ({ name, ...count([task.masks[name]]) })),
    total: count(names.map((name) => task.masks[name])),
  };
}
