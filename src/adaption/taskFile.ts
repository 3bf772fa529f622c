/**
 * @file A task on disk: one safetensors file. `<conv>.mask` packed bits (U8), batch norm and head (F32); finetune keeps
 * its own `<conv>.levels` (two 4-bit levels to a byte, or I8) and `<conv>.scales`, or `<conv>.weight` at full precision.
 */
import { UserError } from '../errors.js';
import { type ConvWeights, levelLimit } from '../model/backbone.js';
import type { Tensor, TensorData } from '../model/dtype.js';
import { type ConvLayer, type LayerGraph, layersOfKind, withClasses } from '../model/graph.js';
import { buildNetwork } from '../model/networks.js';
import { packLevels, unpackLevels } from '../model/packing.js';
import { readSafetensors, type Safetensors, writeSafetensors } from '../model/safetensors.js';
import { maskShape, weightCount } from './geometry.js';
import { packBits, packedBytes, unpackBits } from './pack.js';
import { taskTensors } from './parameters.js';
import type { Task } from './task.js';
import { parseTaskMetadata, taskMetadata } from './taskMetadata.js';

/** Writes a task in one atomic step; equal tasks give equal bytes. */
export async function writeTaskFile(path: string, task: Task): Promise<void> {
  const tensors: Record<string, Tensor> = {};
  for (const [name, bits] of Object.entries(task.masks)) {
    const data = packBits(bits);
    tensors[`${name}.mask`] = { dtype: 'U8', shape: [data.length], data };
  }
  for (const conv of layersOfKind(task.graph, 'conv')) {
    const weights = task.convs[conv.name];
    if (weights) Object.assign(tensors, ownWeights(conv, weights));
  }
  for (const { name, shape, group } of taskTensors(task.graph, task.method)) {
    if (group === 'batchNorm' || group === 'head')
      tensors[name] = { dtype: 'F32', shape, data: task.tensors[name] };
  }
  await writeSafetensors(path, tensors, taskMetadata(task));
}

/** Bytes of the masks in a task file. */
export function maskBytes(task: Pick<Task, 'masks'>): number {
  return Object.values(task.masks).reduce((sum, bits) => sum + packedBytes(bits.length), 0);
}

/**
 * Reads a task.
 * @param network its layer graph, when it is not one of the named networks
 * @throws UserError when the file is missing, damaged or no task
 */
export async function readTaskFile(path: string, network?: LayerGraph): Promise<Task> {
  const file = await readSafetensors(path);
  const metadata = parseTaskMetadata(path, file.metadata);
  const { method, classes, imageSize, backboneSha256, configHash, programVersion, weightBits } = metadata;
  const graph = network
    ? withClasses(network, classes.length)
    : buildNetwork(metadata.network, classes.length);
  const read = new TaskTensors(file);
  const masks: Record<string, Uint8Array> = {};
  const convs: Record<string, ConvWeights> = {};
  const tensors: Record<string, Float32Array> = {};
  for (const conv of layersOfKind(graph, 'conv')) {
    if (method.mask) masks[conv.name] = read.mask(conv, maskShape(conv, method.mask));
    else if (method.trainWeights) convs[conv.name] = read.weights(conv, weightBits);
  }
  for (const { name, shape, group } of taskTensors(graph, method)) {
    if (group === 'batchNorm' || group === 'head')
      tensors[name] = read.floats(
        name,
        shape.reduce((a, b) => a * b, 1),
      );
  }
  read.requireNothingElse();
  const origin = { method, classes, imageSize, backboneSha256, configHash, programVersion };
  return { ...origin, graph, masks, convs, tensors };
}

function ownWeights(conv: ConvLayer, weights: ConvWeights): Record<string, Tensor> {
  const shape = [conv.outChannels, conv.inChannels, conv.kernel, conv.kernel];
  if (weights.kind === 'float')
    return { [`${conv.name}.weight`]: { dtype: 'F32', shape, data: weights.values } };
  const packed = packLevels(weights.levels);
  return {
    [`${conv.name}.levels`]:
      weights.bits <= 4
        ? { dtype: 'U8', shape: [packed.length], data: packed }
        : { dtype: 'I8', shape, data: weights.levels },
    [`${conv.name}.scales`]: { dtype: 'F32', shape: [weights.scales.length], data: weights.scales },
  };
}

/** Tensors of a task file, checked for presence, type, length and finite values. */
class TaskTensors {
  readonly #taken = new Set<string>();

  constructor(readonly file: Safetensors) {}

  mask(conv: ConvLayer, [outChannels, bitsPerFilter]: [number, number]): Uint8Array {
    const bits = outChannels * bitsPerFilter;
    const packed = this.#array(`${conv.name}.mask`, 'U8', packedBytes(bits)) as Uint8Array;
    try {
      return unpackBits(packed, bits);
    } catch (error) {
      throw this.#damaged(`the mask of ${conv.name}: ${(error as Error).message}`);
    }
  }

  weights(conv: ConvLayer, bits: number): ConvWeights {
    const count = weightCount(conv);
    if (bits === 32) return { kind: 'float', values: this.floats(`${conv.name}.weight`, count) };
    const levels =
      bits <= 4
        ? unpackLevels(this.#array(`${conv.name}.levels`, 'U8', Math.ceil(count / 2)) as Uint8Array, count)
        : (this.#array(`${conv.name}.levels`, 'I8', count) as Int8Array);
    const limit = levelLimit(bits);
    if (levels.some((level) => Math.abs(level) > limit))
      throw this.#damaged(`${conv.name}.levels has a level beyond ±${limit}`);
    return { kind: 'levels', levels, scales: this.floats(`${conv.name}.scales`, conv.outChannels), bits };
  }

  floats(name: string, length: number): Float32Array {
    const values = this.#array(name, 'F32', length) as Float32Array;
    if (!values.every(Number.isFinite))
      throw this.#damaged(`tensor "${name}" has values that are not finite`);
    return values;
  }

  requireNothingElse(): void {
    const extra = [...this.file.tensors.keys()].find((name) => !this.#taken.has(name));
    if (extra !== undefined)
      throw this.#damaged(`tensor "${extra.slice(0, 80)}" does not belong to the task`);
  }

  #array(name: string, dtype: Tensor['dtype'], length: number): TensorData {
    this.#taken.add(name);
    const tensor = this.file.tensors.get(name);
    if (tensor?.dtype === dtype && tensor.data.length === length) return tensor.data;
    const found = tensor ? `${tensor.dtype} [${tensor.shape}]` : 'nothing';
    throw this.#damaged(`tensor "${name}" should be ${dtype} of ${length} elements; found ${found}`);
  }

  #damaged(problem: string): UserError {
    return new UserError(`${this.file.path}: ${problem}`, 'Train the task again, or restore the file.');
  }
}
