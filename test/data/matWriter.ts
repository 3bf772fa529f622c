/** @file Writes MATLAB level 5 MAT-files, just enough for the official layouts of the data sets. */
import { deflateSync } from 'node:zlib';

export type MatInput = number[] | string | MatInput[] | readonly Record<string, MatInput>[];

const [INT8, INT32, UINT32, DOUBLE, MATRIX, COMPRESSED, UINT16] = [1, 5, 6, 9, 14, 15, 4];

/** A MAT-file with these variables; little endian, as all real ones. */
export function matFile(variables: Record<string, MatInput>, compress = true): Buffer {
  const header = Buffer.alloc(128, ' ');
  header.write('MATLAB 5.0 MAT-file, written by a test', 'latin1');
  header.writeUInt16LE(0x0100, 124);
  header.write('IM', 126, 'latin1');
  const parts = Object.entries(variables).map(([name, value]) => {
    const bytes = matrix(name, value);
    if (!compress) return bytes;
    const packed = deflateSync(bytes);
    return Buffer.concat([tag(COMPRESSED, packed.length), packed]);
  });
  return Buffer.concat([header, ...parts]);
}

function tag(type: number, size: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(size, 4);
  return bytes;
}

function element(type: number, data: Buffer): Buffer {
  // Up to four bytes go into the tag itself ("small data element").
  if (data.length > 0 && data.length <= 4) {
    const small = Buffer.alloc(8);
    small.writeUInt16LE(type, 0);
    small.writeUInt16LE(data.length, 2);
    data.copy(small, 4);
    return small;
  }
  return Buffer.concat([tag(type, data.length), data, Buffer.alloc((8 - (data.length % 8)) % 8)]);
}

function int32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeInt32LE(value, i * 4);
  return bytes;
}

function matrix(name: string, value: MatInput): Buffer {
  const head = (arrayClass: number, ...dimensions: number[]) => [
    element(UINT32, int32(arrayClass, 0)),
    element(INT32, int32(...dimensions)),
    element(INT8, Buffer.from(name, 'latin1')),
  ];
  const wrap = (parts: Buffer[]) => element(MATRIX, Buffer.concat(parts));
  if (typeof value === 'string') {
    const text = Buffer.from(value, 'utf16le');
    return wrap([...head(4, 1, value.length), element(UINT16, text)]);
  }
  if (value.length > 0 && typeof value[0] === 'number') {
    const numbers = Buffer.alloc(value.length * 8);
    for (const [i, n] of value.entries()) numbers.writeDoubleLE(n as number, i * 8);
    return wrap([...head(6, 1, value.length), element(DOUBLE, numbers)]);
  }
  if (value.length > 0 && typeof value[0] === 'object' && !Array.isArray(value[0])) {
    const structs = value as readonly Record<string, MatInput>[];
    const fields = Object.keys(structs[0]);
    const width = 32;
    const names = Buffer.alloc(width * fields.length);
    for (const [i, field] of fields.entries()) names.write(field, i * width, 'latin1');
    const items = structs.flatMap((entry) => fields.map((field) => matrix('', entry[field])));
    return wrap([
      ...head(2, 1, structs.length),
      element(INT32, int32(width)),
      element(INT8, names),
      ...items,
    ]);
  }
  return wrap([...head(1, 1, value.length), ...(value as MatInput[]).map((item) => matrix('', item))]);
}
