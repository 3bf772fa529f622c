/**
 * @file TensorBoard event files: TFRecord frames around Event messages. The few protobuf fields used are encoded by
 * hand; numbers from tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto:
 * Event { wall_time = 1 double, step = 2 int64, file_version = 3 string, summary = 5, session_log = 7 },
 * Summary { value = 1 }, Value { tag = 1 string, simple_value = 2 float }, SessionLog { status = 1, START = 1 }.
 */
import { closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { maskedCrc32c } from './crc32c.js';
import { writeNamed } from './writeNamed.js';

/** Appends scalars to an event file of its own; TensorBoard reads the files of a folder in name order. */
export class EventFile {
  readonly #path: string;
  readonly #file: number;

  /**
   * @param folder the run folder
   * @param startStep first step that will be written: TensorBoard drops what older files say from there on
   * @param clock seconds since 1970
   */
  constructor(
    folder: string,
    startStep: number,
    private readonly clock: () => number = () => Date.now() / 1000,
  ) {
    this.#path = freshPath(folder, Math.floor(clock()));
    this.#file = openSync(this.#path, 'wx');
    this.#append([...string(3, 'brain.Event:2')]);
    if (startStep > 0) this.#append([...varint(2, startStep), ...message(7, varint(1, 1))]);
  }

  /** Writes scalars of one step, by tag. */
  scalars(step: number, values: Readonly<Record<string, number>>): void {
    const summary = Object.entries(values).flatMap(([tag, value]) =>
      message(1, [...string(1, tag), ...float(2, value)]),
    );
    this.#append([...varint(2, step), ...message(5, summary)]);
  }

  close(): void {
    closeSync(this.#file);
  }

  #append(fields: number[]): void {
    const event = Uint8Array.from([...double(1, this.clock()), ...fields]);
    writeNamed(this.#file, this.#path, frame(event));
  }
}

/** One TFRecord: length, masked CRC of the length, data, masked CRC of the data. */
export function frame(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return record;
}

/** Whether an {@link EventFile} has this name: other programs put host names into theirs. */
export function isEventFile(name: string): boolean {
  return /^events\.out\.tfevents\.\d+\.xbm$/.test(name);
}

/** Names sort in the order of the starts, whatever the clock did in between. */
function freshPath(folder: string, seconds: number): string {
  const stamps = readdirSync(folder).map((name) =>
    Number(/^events\.out\.tfevents\.(\d+)\./.exec(name)?.[1] ?? 0),
  );
  const stamp = String(Math.max(seconds, ...stamps.map((taken) => taken + 1))).padStart(10, '0');
  return join(folder, `events.out.tfevents.${stamp}.xbm`);
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return [...bytes, value];
}

const varint = (field: number, value: number) => [field << 3, ...unsigned(value)];
const message = (field: number, bytes: readonly number[]) => [
  (field << 3) | 2,
  ...unsigned(bytes.length),
  ...bytes,
];
const string = (field: number, text: string) => message(field, [...new TextEncoder().encode(text)]);
const double = (field: number, value: number) => [
  (field << 3) | 1,
  ...new Uint8Array(Float64Array.of(value).buffer),
];
const float = (field: number, value: number) => [
  (field << 3) | 5,
  ...new Uint8Array(Float32Array.of(value).buffer),
];
