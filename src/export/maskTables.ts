import { maskShape, rowsPerBit } from '../adaption/geometry.js';
import type { MaskSpec } from '../adaption/method.js';
import { packBits } from '../adaption/pack.js';
import type { Task } from '../adaption/task.js';
import { type WeightOrder, weightDims } from '../engines/onnx/frozen/weights.js';
import type { GraphBuilder } from '../engines/onnx/graphBuilder.js';
import type { ConvLayer } from '../model/graph.js';

/** How a bit that is on appears: all bits of a byte set, to be combined by BitwiseAnd, or 1. */
const tables = {
  int8: () => unpackTable(Int8Array, -1),
  uint8: () => unpackTable(Uint8Array, 255),
  float32: () => unpackTable(Float32Array, 1),
};

export type MaskElement = keyof typeof tables;

/** Packed mask bits of several tasks of one geometry, and the nodes that unpack those of one task. */
export class MaskTables {
  readonly #mask: Pick<MaskSpec, 'granularity' | 'rows'>;
  readonly #unpack = new Map<MaskElement, string>();

  /**
   * @param tasks one at least with masks; in those without, all bits are on
   * @param task name of the scalar that selects
   */
  constructor(
    private readonly builder: GraphBuilder,
    private readonly tasks: readonly Task[],
    private readonly task: string,
  ) {
    this.#mask = tasks.find(({ method }) => method.mask)!.method.mask!;
  }

  /** The mask of a convolution, one element per weight, in the weights' order. */
  emit(conv: ConvLayer, order: WeightOrder, element: MaskElement): string {
    const builder = this.builder;
    const [outChannels, segments] = maskShape(conv, this.#mask);
    const reshape = (name: string, shape: readonly number[]) =>
      builder.op('Reshape', [name, builder.ints(...shape)]);
    const bits = this.#unpacked(conv, order, element);
    const rows = rowsPerBit(conv, this.#mask);
    if (rows === 1) return this.#tapsOutermost(bits, conv, order);
    // Every bit is repeated along the rows of its segment; the last segment may be shorter.
    const filters = order === 'filters';
    const shape = (s: number, r: number) => (filters ? [outChannels, s, r] : [s, r, outChannels]);
    const repeated = builder.op('Expand', [
      reshape(bits, shape(segments, 1)),
      builder.ints(...shape(segments, rows)),
    ]);
    const whole = reshape(
      repeated,
      filters ? [outChannels, segments * rows] : [segments * rows, outChannels],
    );
    const weightRows = conv.inChannels * conv.kernel * conv.kernel;
    const axis = builder.ints(filters ? 1 : 0);
    const cut = builder.op('Slice', [whole, builder.ints(0), builder.ints(weightRows), axis]);
    return this.#tapsOutermost(cut, conv, order);
  }

  /** Rows of columns from the mask's order, taps innermost, to the weights'; filters have no other order. */
  #tapsOutermost(mask: string, conv: ConvLayer, order: WeightOrder): string {
    const builder = this.builder;
    const { inChannels, outChannels, kernel } = conv;
    const dims = builder.ints(...weightDims(conv, order));
    if (order === 'filters' || kernel === 1) return builder.op('Reshape', [mask, dims]);
    const apart = builder.op('Reshape', [mask, builder.ints(inChannels, kernel * kernel, outChannels)]);
    return builder.op('Reshape', [builder.op('Transpose', [apart], { perm: [1, 0, 2] }), dims]);
  }

  /** The bits of the selected task as elements, in one row. */
  #unpacked(conv: ConvLayer, order: WeightOrder, element: MaskElement): string {
    const builder = this.builder;
    const tasks = this.tasks;
    const rows = tasks.map((task) => packBits(this.#bits(task, conv, order)));
    const packed = Uint8Array.from(rows.flatMap((row) => [...row]));
    const bytes = builder.op('Gather', [builder.constant(packed, [rows.length, rows[0].length]), this.task]);
    let table = this.#unpack.get(element);
    if (!table) {
      table = builder.constant(tables[element](), [256, 8]);
      this.#unpack.set(element, table);
    }
    const eights = builder.op('Gather', [table, builder.op('Cast', [bytes], { to: 6 })]);
    const flat = builder.op('Reshape', [eights, builder.ints(-1)]);
    const [outChannels, segments] = maskShape(conv, this.#mask);
    return builder.op('Slice', [
      flat,
      builder.ints(0),
      builder.ints(outChannels * segments),
      builder.ints(0),
    ]);
  }

  #bits(task: Task, conv: ConvLayer, order: WeightOrder): Uint8Array {
    const [outChannels, segments] = maskShape(conv, this.#mask);
    const bits = task.masks[conv.name] ?? new Uint8Array(outChannels * segments).fill(1);
    if (order === 'filters') return bits;
    return bits.map((_, i) => bits[(i % outChannels) * segments + Math.floor(i / outChannels)]);
  }
}

/** [256, 8]: `on` for the bits of each byte that are set, lowest first. */
function unpackTable<T extends Int8Array | Uint8Array | Float32Array>(
  type: new (length: number) => T,
  on: number,
): T {
  const table = new type(256 * 8);
  for (let i = 0; i < table.length; i++) table[i] = ((i >> 3) >> (i & 7)) & 1 ? on : 0;
  return table;
}
