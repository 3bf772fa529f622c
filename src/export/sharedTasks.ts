import type { FoldedNetwork } from '../adaption/fold.js';
import { maskShape, rowsPerBit } from '../adaption/geometry.js';
import type { MaskSpec } from '../adaption/method.js';
import { packBits } from '../adaption/pack.js';
import type { Task } from '../adaption/task.js';
import type { GraphBuilder } from '../engines/onnx/graphBuilder.js';
import { type Backbone, dequantize } from '../model/backbone.js';
import { type ConvLayer, headOf } from '../model/graph.js';
import { arrangeLevels, type WeightOrder, type WeightSource, weightDims } from './weights.js';

/**
 * The weights of several tasks on one backbone: its levels once, and tables of packed mask bits, batch norm and heads
 * from which the int64 input `task` gathers. The graph unpacks the bits of that task and masks the levels.
 */
export class SharedTasks implements WeightSource {
  readonly #task: string;
  readonly #mask: Pick<MaskSpec, 'granularity' | 'rows'> | null;

  /** @param tasks with masks of one geometry, or without; none with weights of its own */
  constructor(
    private readonly builder: GraphBuilder,
    private readonly backbone: Backbone,
    private readonly tasks: readonly Task[],
    private readonly networks: readonly FoldedNetwork[],
  ) {
    this.#task = builder.input('task', 'int64', []);
    this.#mask = tasks.find(({ method }) => method.mask)?.method.mask ?? null;
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
    const dims = weightDims(conv, order);
    const levels = arrangeLevels(weights.levels, conv.outChannels, order, multiplier);
    if (!offset) {
      const all = builder.constant(levels, dims);
      return this.#mask ? builder.op('BitwiseAnd', [all, this.#maskOf(conv, order, int8Table())]) : all;
    }
    // Two's complement plus 128 is the same byte with its first bit flipped.
    const flip = (bytes: Uint8Array) => bytes.map((byte) => byte ^ 128);
    const bytes = new Uint8Array(levels.buffer);
    if (!this.#mask) return builder.constant(flip(bytes), dims);
    const table = new Uint8Array(int8Table().buffer);
    const masked = builder.op('BitwiseAnd', [
      builder.constant(bytes, dims),
      this.#maskOf(conv, order, table),
    ]);
    return builder.op('BitwiseXor', [masked, builder.constant(Uint8Array.of(128), [])]);
  }

  floats(conv: ConvLayer, gains: readonly Float32Array[]): string {
    const { builder } = this;
    const all = builder.constant(dequantize(this.backbone.convs[conv.name]), weightDims(conv, 'filters'));
    const masked = this.#mask
      ? builder.op('Mul', [all, this.#maskOf(conv, 'filters', bitTable(Float32Array, 1))])
      : all;
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

  /**
   * The task's mask of a convolution, one element per weight, in the weights' order.
   * @param table the eight elements that each byte of packed bits stands for
   */
  #maskOf(conv: ConvLayer, order: WeightOrder, table: Int8Array | Uint8Array | Float32Array): string {
    const { builder } = this;
    const mask = this.#mask!;
    const [outChannels, bitsPerFilter] = maskShape(conv, mask);
    const bits = outChannels * bitsPerFilter;
    const packed = concatenate(this.tasks.map((task) => packBits(this.#bits(task, conv, order))));
    const bytes = builder.op(
      'Cast',
      [this.#gather(packed, [this.tasks.length, packed.length / this.tasks.length])],
      { to: 6 },
    );
    const elements = builder.op('Reshape', [
      builder.op('Gather', [builder.constant(table, [256, 8]), bytes]),
      builder.ints(-1),
    ]);
    const used = builder.op('Slice', [elements, builder.ints(0), builder.ints(bits), builder.ints(0)]);
    const dims = weightDims(conv, order);
    const rows = rowsPerBit(conv, mask);
    if (rows === 1) return builder.op('Reshape', [used, builder.ints(...dims)]);
    // Repeats every bit along the rows of its segment; the last segment may be shorter.
    const weightRows = conv.inChannels * conv.kernel * conv.kernel;
    const filters = order === 'filters';
    const apart = filters ? [outChannels, bitsPerFilter, 1] : [bitsPerFilter, 1, outChannels];
    const wide = filters ? [outChannels, bitsPerFilter, rows] : [bitsPerFilter, rows, outChannels];
    const flat = filters ? [outChannels, bitsPerFilter * rows] : [bitsPerFilter * rows, outChannels];
    const repeated = builder.op('Expand', [
      builder.op('Reshape', [used, builder.ints(...apart)]),
      builder.ints(...wide),
    ]);
    const columns = builder.op('Reshape', [repeated, builder.ints(...flat)]);
    const axis = builder.ints(filters ? 1 : 0);
    const cut = builder.op('Slice', [columns, builder.ints(0), builder.ints(weightRows), axis]);
    return builder.op('Reshape', [cut, builder.ints(...dims)]);
  }

  /** Mask bits in the weights' order; a task without masks has all of them on. */
  #bits(task: Task, conv: ConvLayer, order: WeightOrder): Uint8Array {
    const [outChannels, bitsPerFilter] = maskShape(conv, this.#mask!);
    const bits = task.masks[conv.name] ?? new Uint8Array(outChannels * bitsPerFilter).fill(1);
    if (order === 'filters') return bits;
    return Uint8Array.from(
      bits,
      (_, i) => bits[(i % outChannels) * bitsPerFilter + Math.floor(i / outChannels)],
    );
  }

  /** The task's row of a table [tasks, …]. */
  #gather(table: Uint8Array | Float32Array | Int32Array | BigInt64Array, dims: number[]): string {
    return this.builder.op('Gather', [this.builder.constant(table, dims), this.#task]);
  }
}

const int8Table = () => bitTable(Int8Array, -1);

/** [256, 8]: `on` for the bits of a byte that are set, lowest first. */
function bitTable<T extends Int8Array | Float32Array>(type: new (length: number) => T, on: number): T {
  return new type(256 * 8).map((_, i) => (((i >> 3) >> (i & 7)) & 1) * on) as T;
}

function concatenate<T extends Uint8Array | Float32Array>(arrays: readonly T[]): T {
  const length = arrays.reduce((sum, array) => sum + array.length, 0);
  const joined = (arrays[0] instanceof Uint8Array ? new Uint8Array(length) : new Float32Array(length)) as T;
  let at = 0;
  for (const array of arrays) {
    joined.set(array, at);
    at += array.length;
  }
  return joined;
}
