/** @file A step as a list of kernel calls over one arena: collected, laid out in memory and encoded once, then run. */
import { constants } from 'node:buffer';
import { totalmem } from 'node:os';
import { ExitCode, UserError } from '../../errors.js';
import { type Lifetime, planMemory } from '../compiled/memory.js';
import type { Addon, Pool } from './addon.js';

/** A tensor in the arena. Transient ones live between their first and last call and share memory. */
export interface Tensor {
  readonly label: string;
  readonly bytes: number;
  readonly transient: boolean;
}

/** Part of a tensor. `offset` in bytes. */
export interface Slice {
  readonly tensor: Tensor;
  readonly offset: number;
}

/** An argument: a number, the name of a value that the kernels number, where a tensor lies, or null for no tensor. */
export type Argument = number | string | Tensor | Slice | null;

/** Of a kernel call: arguments by the names that the kernel gives them (native/xbm.h). */
export type Arguments = Readonly<Record<string, Argument>>;

/** Records that follow a call's arguments, by the name of their kind. */
export type Records = readonly (readonly [kind: string, fields: Arguments])[];

interface Call {
  readonly kernel: string;
  readonly args: Arguments;
  readonly records: Records;
  readonly flop: number;
}

/** What all calls of one kernel did in one run. */
export interface KernelTime {
  readonly kernel: string;
  readonly milliseconds: number;
  /** Floating-point operations of products; 0 for other kernels. */
  readonly flop: number;
}

const ALIGNMENT = 64;
const align = (bytes: number) => Math.ceil(Math.max(bytes, 1) / ALIGNMENT) * ALIGNMENT;
const NO_TENSOR = -1;
/** Of Node 20: 4 GiB; a step of ResNet-50 takes more from batches of 48 images of 224 pixels on. */
const LARGEST_BUFFER = constants.MAX_LENGTH;

export class ProgramBuilder {
  readonly #calls: Call[] = [];
  readonly #initial = new Map<Tensor, ArrayBufferView | null>();

  constructor(readonly addon: Addon) {}

  /** A tensor that need not outlive the step. */
  transient(label: string, bytes: number): Tensor {
    return { label, bytes: align(bytes), transient: true };
  }

  /** A tensor with memory of its own. @param data its contents at first; null: zeros */
  persistent(label: string, bytes: number, data: ArrayBufferView | null = null): Tensor {
    const tensor = { label, bytes: align(bytes), transient: false };
    this.#initial.set(tensor, data);
    return tensor;
  }

  /** @param flop for profiles */
  call(
    kernel: string,
    args: Arguments,
    { records = [], flop = 0 }: { records?: Records; flop?: number } = {},
  ): void {
    this.#calls.push({ kernel, args, records, flop });
  }

  /**
   * Lays out the arena and encodes all calls.
   * @throws UserError when there is not that much memory
   */
  finish(threads: number): Program {
    const { offsets, bytes } = this.#layOut();
    // The system hands out more than there is, and ends a program that uses it.
    const memory = Math.min(totalmem(), process.constrainedMemory?.() || Number.POSITIVE_INFINITY);
    const arena = bytes <= memory ? this.addon.allocate(bytes, Math.min(bytes, LARGEST_BUFFER)) : null;
    if (!arena) {
      const mebibytes = (count: number) => `${Math.ceil(count / 2 ** 20)} MiB`;
      throw new UserError(
        `out of memory in the native engine: a step takes ${mebibytes(bytes)}, of ${mebibytes(memory)} there are`,
        'A smaller training.batchSize needs less.',
        ExitCode.unavailable,
      );
    }
    for (const [tensor, data] of this.#initial) {
      if (!data) continue;
      const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      new Uint8Array(arena, offsets.get(tensor), source.length).set(source);
    }
    const encoded = this.#calls.flatMap((call) => this.#encode(call, offsets));
    const labels = this.#calls.map(({ kernel, flop }) => ({ kernel, flop }));
    return new Program(this.addon, threads, { arena, bytes, offsets }, Float64Array.from(encoded), labels);
  }

  #layOut(): { offsets: ReadonlyMap<Tensor, number>; bytes: number } {
    const uses = new Map<Tensor, { first: number; last: number }>();
    this.#calls.forEach((call, i) => {
      for (const tensor of tensorsOf(call)) {
        if (!tensor.transient && !this.#initial.has(tensor))
          throw new Error(`${tensor.label} is another program's`);
        if (tensor.transient) uses.set(tensor, { first: uses.get(tensor)?.first ?? i, last: i });
      }
    });
    const lifetimes = [...uses].map(([{ bytes }, life]): Lifetime => ({ bytes, ...life }));
    const { buffers, assignment } = planMemory(lifetimes);
    let bytes = 0;
    const place = (size: number): number => {
      const offset = bytes;
      bytes += size;
      return offset;
    };
    // Those that are read and written from here come first: a buffer may show no more than a part of the arena.
    const offsets = new Map([...this.#initial.keys()].map((tensor) => [tensor, place(tensor.bytes)]));
    const starts = buffers.map(place);
    [...uses.keys()].forEach((tensor, i) => {
      offsets.set(tensor, starts[assignment[i]]);
    });
    return { offsets, bytes };
  }

  #encode({ kernel, args, records }: Call, offsets: ReadonlyMap<Tensor, number>): number[] {
    const index = this.addon.kernels.indexOf(kernel);
    if (index < 0) throw new Error(`no kernel named ${kernel}`);
    const values = [
      ...this.#encodeFields(kernel, this.addon.arguments[kernel], args, offsets),
      ...records.flatMap(([kind, fields]) =>
        this.#encodeFields(kind, this.addon.records[kind], fields, offsets),
      ),
    ];
    return [index, values.length, ...values];
  }

  #encodeFields(
    owner: string,
    names: readonly string[],
    fields: Arguments,
    offsets: ReadonlyMap<Tensor, number>,
  ): number[] {
    const unknown = Object.keys(fields).find((name) => !names.includes(name));
    if (unknown) throw new Error(`${owner} has no argument ${unknown}`);
    return names.map((name) => {
      const value = fields[name];
      if (value === undefined) throw new Error(`${owner} needs its argument ${name}`);
      if (value === null) return NO_TENSOR;
      if (typeof value === 'number') return value;
      if (typeof value === 'string') return this.#enumValue(owner, name, value);
      const { tensor, offset } = 'tensor' in value ? value : { tensor: value, offset: 0 };
      return offsets.get(tensor)! + offset;
    });
  }

  #enumValue(owner: string, argument: string, value: string): number {
    const number = this.addon.enums[argument]?.indexOf(value) ?? -1;
    if (number < 0) throw new Error(`${owner}: no ${argument} is named ${value}`);
    return number;
  }
}

function tensorsOf({ args, records }: Call): Tensor[] {
  const values = [args, ...records.map(([, fields]) => fields)].flatMap((fields) => Object.values(fields));
  return values.flatMap((value) => {
    if (value === null || typeof value !== 'object') return [];
    return 'tensor' in value ? value.tensor : value;
  });
}

/** Settings of a step by the names that the kernels give them. */
export type StepValues = Readonly<Record<string, number>>;

interface Memory {
  /** Shows persistent tensors, and transient ones as far as {@link LARGEST_BUFFER} goes. */
  readonly arena: ArrayBuffer;
  /** Of all tensors together. */
  readonly bytes: number;
  readonly offsets: ReadonlyMap<Tensor, number>;
}

/** An encoded step and its memory. */
export class Program {
  readonly #pool: Pool;

  constructor(
    private readonly addon: Addon,
    threads: number,
    private readonly memory: Memory,
    private readonly encoded: Float64Array,
    private readonly calls: readonly { readonly kernel: string; readonly flop: number }[],
  ) {
    this.#pool = addon.createPool(threads);
  }

  /** Of all tensors together. */
  get bytes(): number {
    return this.memory.bytes;
  }

  /** The memory of a tensor: valid between runs, and of a transient one only as long as nothing else took its place. */
  bytesOf(tensor: Tensor): Uint8Array {
    return new Uint8Array(this.memory.arena, this.#offset(tensor), tensor.bytes);
  }

  floatsOf(tensor: Tensor, length: number): Float32Array {
    return new Float32Array(this.memory.arena, this.#offset(tensor), length);
  }

  run(step: StepValues): Promise<void> {
    return this.addon.run(this.#pool, this.memory.arena, this.encoded, this.#stepValues(step), null);
  }

  /** Runs once and says what each kernel took, the longest first. */
  async profile(step: StepValues): Promise<KernelTime[]> {
    const times = new Float64Array(this.calls.length);
    await this.addon.run(this.#pool, this.memory.arena, this.encoded, this.#stepValues(step), times);
    const sums = new Map<string, KernelTime>();
    this.calls.forEach(({ kernel, flop }, i) => {
      const sum = sums.get(kernel) ?? { kernel, milliseconds: 0, flop: 0 };
      sums.set(kernel, { kernel, milliseconds: sum.milliseconds + 1000 * times[i], flop: sum.flop + flop });
    });
    return [...sums.values()].sort((a, b) => b.milliseconds - a.milliseconds);
  }

  /** Ends the threads; the arena goes with its last view. */
  close(): void {
    this.addon.closePool(this.#pool);
  }

  #offset(tensor: Tensor): number {
    const offset = this.memory.offsets.get(tensor);
    if (offset === undefined) throw new Error(`no call uses ${tensor.label}`);
    return offset;
  }

  #stepValues(step: StepValues): Float64Array {
    return Float64Array.from(this.addon.stepValues, (name) => {
      if (step[name] === undefined) throw new Error(`the step has no ${name}`);
      return step[name];
    });
  }
}
