/**
 * @file Reads MATLAB level 5 MAT-files: numbers, text, cells and structs, compressed or not; what data sets use.
 * Every length is checked against the bytes there are. Source: MathWorks, "MAT-File Format", level 5.
 */
import { readFileSync } from 'node:fs';
import { inflateSync } from 'node:zlib';
import { UserError } from '../errors.js';

export type MatValue =
  | { readonly kind: 'numbers'; readonly dimensions: readonly number[]; readonly values: Float64Array }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'cells'; readonly cells: readonly MatValue[] }
  /** A struct array: one object per element. */
  | { readonly kind: 'structs'; readonly structs: readonly Readonly<Record<string, MatValue>>[] };

const MATRIX = 14;
const COMPRESSED = 15;
/** An inflated variable is refused beyond this; the largest real one has 2 MB. */
const MAX_INFLATED_BYTES = 32 * 2 ** 20;
const MAX_DEPTH = 8;
const CELL = 1;
const STRUCT = 2;
const CHAR = 4;

type NumberReader = { readonly bytes: number; read(view: DataView, at: number, little: boolean): number };

const numberReaders: Readonly<Record<number, NumberReader>> = {
  1: { bytes: 1, read: (view, at) => view.getInt8(at) },
  2: { bytes: 1, read: (view, at) => view.getUint8(at) },
  3: { bytes: 2, read: (view, at, little) => view.getInt16(at, little) },
  4: { bytes: 2, read: (view, at, little) => view.getUint16(at, little) },
  5: { bytes: 4, read: (view, at, little) => view.getInt32(at, little) },
  6: { bytes: 4, read: (view, at, little) => view.getUint32(at, little) },
  7: { bytes: 4, read: (view, at, little) => view.getFloat32(at, little) },
  9: { bytes: 8, read: (view, at, little) => view.getFloat64(at, little) },
  12: { bytes: 8, read: (view, at, little) => Number(view.getBigInt64(at, little)) },
  13: { bytes: 8, read: (view, at, little) => Number(view.getBigUint64(at, little)) },
  16: { bytes: 1, read: (view, at) => view.getUint8(at) },
  17: { bytes: 2, read: (view, at, little) => view.getUint16(at, little) },
};

/**
 * The variables of a MAT-file by name.
 * @throws UserError when the file is not a whole level 5 MAT-file
 */
export function readMatFile(path: string): Map<string, MatValue> {
  const bytes = readFileSync(path);
  try {
    return parseMat(bytes);
  } catch (error) {
    throw new UserError(
      `${path} is not a readable MATLAB level 5 MAT-file: ${(error as Error).message}`,
      'Restore the file from the data set’s archive.',
    );
  }
}

function parseMat(bytes: Uint8Array): Map<string, MatValue> {
  const header = Buffer.from(bytes.subarray(0, 128));
  if (header.length < 128) throw new Error('it is shorter than the header');
  if (header.toString('latin1').startsWith('MATLAB 7.3')) throw new Error('it is version 7.3 (HDF5)');
  const order = header.toString('latin1', 126, 128);
  if (order !== 'IM' && order !== 'MI') throw new Error('its header has no byte-order mark');
  const little = order === 'IM';
  const variables = new Map<string, MatValue>();
  const reader = new ElementReader(bytes.subarray(128), little);
  while (!reader.atEnd()) {
    const element = reader.next();
    const matrix =
      element.type === COMPRESSED
        ? new ElementReader(inflateSync(element.data, { maxOutputLength: MAX_INFLATED_BYTES }), little).next()
        : element;
    if (matrix.type !== MATRIX) continue;
    const { name, value } = parseMatrix(matrix.data, little, 0);
    if (value) variables.set(name, value);
  }
  return variables;
}

interface Element {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Walks the tagged elements in a run of bytes. */
class ElementReader {
  private at = 0;
  private readonly view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly little: boolean,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  atEnd(): boolean {
    return this.at + 8 > this.bytes.length;
  }

  next(): Element {
    if (this.atEnd()) throw new Error('an element is missing');
    const first = this.view.getUint32(this.at, this.little);
    const small = first >>> 16;
    const type = small ? first & 0xffff : first;
    const size = small || this.view.getUint32(this.at + 4, this.little);
    const start = this.at + (small ? 4 : 8);
    if (start + size > this.bytes.length || (small && size > 4)) throw new Error('an element is cut off');
    // Compressed elements are not padded to 8 bytes; all others are.
    this.at = small ? this.at + 8 : start + (type === COMPRESSED ? size : Math.ceil(size / 8) * 8);
    return { type, data: this.bytes.subarray(start, start + size) };
  }

  numbers(): Float64Array {
    return toNumbers(this.next(), this.little);
  }

  text(): string {
    return Buffer.from(this.next().data).toString('latin1');
  }
}

function toNumbers({ type, data }: Element, little: boolean): Float64Array {
  const reader = numberReaders[type];
  if (!reader) throw new Error(`numbers of type ${type} are unknown`);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const count = Math.floor(data.byteLength / reader.bytes);
  return Float64Array.from({ length: count }, (_, i) => reader.read(view, i * reader.bytes, little));
}

function parseMatrix(data: Uint8Array, little: boolean, depth: number): { name: string; value?: MatValue } {
  if (data.length === 0) {
    return { name: '', value: { kind: 'numbers', dimensions: [0, 0], values: new Float64Array(0) } };
  }
  if (depth > MAX_DEPTH) throw new Error('it is nested too deeply');
  const reader = new ElementReader(data, little);
  const arrayClass = (reader.numbers()[0] ?? 0) & 0xff;
  const dimensions = [...reader.numbers()];
  const count = dimensions.reduce((product, n) => product * n, 1);
  if (dimensions.length < 2 || !dimensions.every((n) => n >= 0))
    throw new Error('an array has bad dimensions');
  const name = reader.text();
  const items = (n: number) => {
    // Every item takes at least the 8 bytes of its tag.
    if (n > data.length / 8) throw new Error('an array is cut off');
    return Array.from({ length: n }, () => parseItem(reader, little, depth));
  };
  if (arrayClass === CELL) return { name, value: { kind: 'cells', cells: items(count) } };
  if (arrayClass === STRUCT) {
    const fields = parseFieldNames(reader);
    const values = items(count * fields.length);
    const structs = Array.from({ length: fields.length === 0 ? 0 : count }, (_, i) =>
      Object.fromEntries(fields.map((field, f) => [field, values[i * fields.length + f]])),
    );
    return { name, value: { kind: 'structs', structs } };
  }
  if (arrayClass === CHAR) {
    const codes = reader.numbers();
    return { name, value: { kind: 'text', text: String.fromCharCode(...codes.subarray(0, 10_000)) } };
  }
  if (arrayClass < 6 || arrayClass > 15) return { name };
  const values = reader.numbers();
  if (values.length !== count) throw new Error(`array "${name}" has ${values.length} of ${count} numbers`);
  return { name, value: { kind: 'numbers', dimensions, values } };
}

function parseItem(reader: ElementReader, little: boolean, depth: number): MatValue {
  const { type, data } = reader.next();
  if (type !== MATRIX) throw new Error('an array holds something that is not an array');
  const { value } = parseMatrix(data, little, depth + 1);
  if (!value) throw new Error('it holds objects or functions');
  return value;
}

function parseFieldNames(reader: ElementReader): string[] {
  const length = reader.numbers()[0] ?? 0;
  const names = reader.text();
  if (!(length > 0) || length > 64) throw new Error('a struct has bad field names');
  return Array.from({ length: Math.floor(names.length / length) }, (_, i) =>
    names.slice(i * length, (i + 1) * length).replace(/\0.*$/s, ''),
  );
}
