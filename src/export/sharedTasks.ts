import type { FoldedNetwork } from '../adaption/fold.js';
import type { Task } from '../adaption/task.js';
import {
  arrangeLevels,
  type WeightOrder,
  type WeightSource,
  weightDims,
} from '../engines/onnx/frozen/weights.js';
import type { GraphBuilder } from '../engines/onnx/graphBuilder.js';
import { type Backbone, dequantize } from '../model/backbone.js';
import { type ConvLayer, headOf } from '../model/graph.js';
import { MaskTables } from './maskTables.js';

/**
 * The weights of several tasks on one backbone: its levels once, and tables of packed mask bits, batch norm and heads
 * from which the int64 input `task` gathers. The graph unpacks the bits of that task and masks the levels.
 */
export class SharedTasks implements WeightSource {
  readonly #task: string;
  readonly #masks?: MaskTables;

  /** @param tasks with masks of one geometry, or without; none with weights of its own */
  constructor(
    private readonly builder: GraphBuilder,
    private readonly backbone: Backbone,
    tasks: readonly Task[],
    private readonly networks: readonly FoldedNetwork[],
  ) {
    this.#task = builder.input('task', 'int64', []);
    if (tasks.some(({ method }) => method.mask)) this.#masks = new MaskTables(builder, tasks, this.#task);
  }

  vector(perTask: readonly (Float32Array | Int32Array)[]): string {
    const length = perTask[0].length;
    const joined =
      perTask[0] instanceof Int32Array
        ? new Int32Array(length * perTask.length)
        : new Float32Array(length * perTask.length);
    perTask.forEach((values, task) => {
      joined.set(values, task * length);
    });
    return this.#gather(joined, [perTask.length, length]);
  }

  levels(conv: ConvLayer, order: WeightOrder, multiplier: number, offset: boolean): string {
    const weights = this.backbone.convs[conv.name];
    if (weights.kind === 'float') throw new Error(`${conv.name} has no levels`);
    const { builder } = this;
    const levels = arrangeLevels(weights.levels, conv, order, multiplier);
    const bytes = offset ? new Uint8Array(levels.buffer) : levels;
    const all = builder.constant(bytes, weightDims(conv, order));
    const mask = this.#masks?.emit(conv, order, offset ? 'uint8' : 'int8');
    const masked = mask ? builder.op('BitwiseAnd', [all, mask]) : all;
    // Two's complement plus 128 is the same byte with its first bit flipped.
    return offset ? builder.op('BitwiseXor', [masked, builder.constant(Uint8Array.of(128), [])]) : masked;
  }

  floats(conv: ConvLayer, gains: readonly Float32Array[]): string {
    const { builder } = this;
    const all = builder.constant(dequantize(this.backbone.convs[conv.name]), weightDims(conv, 'filters'));
    const mask = this.#masks?.emit(conv, 'filters', 'float32');
    const masked = mask ? builder.op('Mul', [all, mask]) : all;
    const shape = builder.ints(conv.outChannels, 1, 1, 1);
    return builder.op('Mul', [masked, builder.op('Reshape', [this.vector(gains), shape])]);
  }

  /** Heads differ in their number of classes: all lie in one table of rows, from which the task's rows are sliced. */
  head(name: string): { weight: string; bias: string } {
    const builder = this.builder;
    const networks = this.networks;
    const counts = networks.map(({ graph }) => headOf(graph).outFeatures);
    const total = counts.reduce((sum, count) => sum + count, 0);
    const features = headOf(networks[0].graph).inFeatures;
    const ends = counts.map((_, task) => counts.slice(0, task + 1).reduce((sum, count) => sum + count, 0));
    const bounds = [ends.map((end, task) => end - counts[task]), ends].map((rows) =>
      this.#gather(BigInt64Array.from(rows, BigInt), [rows.length, 1]),
    );
    const slice = (suffix: string, dims: number[]) => {
      const rows = concatenate(networks.map(({ tensors }) => tensors[`${name}.${suffix}`]));
      return builder.op('Slice', [builder.constant(rows, dims), ...bounds, builder.ints(0)]);
    };
    return { weight: slice('weight', [total, features]), bias: slice('bias', [total]) };
  }

  /** The task's row of a table [tasks, …]. */
  #gather(table: Float32Array | Int32Array | BigInt64Array, dims: number[]): string {
    return this.builder.op('Gather', [this.builder.constant(table, dims), this.#task]);
  }
}

function concatenate(arrays: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    joined.set(array, at);
    at += array.length;
  }
  return joined;
}
