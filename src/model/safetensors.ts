/**
 * @file Reads and writes safetensors files; reads gzipped ones too. Format: https://github.com/huggingface/safetensors.
 * Like the format, typed arrays here are little-endian.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { UserError } from '../errors.js';
import { ByteReader } from './byteReader.js';
import { type Dtype, decodeBFloat16, decodeFloat16, dtypeArrays, type Tensor } from './dtype.js';
import { BLANK_CHECKSUM, CHECKSUM_KEY, FileCheck, sealFile } from './fileChecksum.js';
import { recogniseFile } from './foreignFile.js';
import { replaceFile } from './replaceFile.js';
import { MAX_HEADER_BYTES, malformed, parseHeader, type SafetensorsHeader } from './safetensorsHeader.js';

export interface Safetensors {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * A tensor's values as float32, from F32, F16, BF16 or F64.
   * @throws UserError naming the tensor when it is missing or not of a float type
   */
  floats(name: string): Float32Array;
}

/** A deflate stream cannot expand more than this. */
const MAX_INFLATION = 1032;

/**
 * Reads a whole file; one that xbm wrote is compared with its checksum.
 * @throws UserError naming the file, and the tensor, when it cannot be read or is damaged
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  return withReader(path, async (reader, { start, checksum, ...header }) => {
    const check = new FileCheck(start, checksum);
    const tensors = new Map<string, Tensor>();
    for (const { name, dtype, shape, begin, end } of header.entries) {
      const data = new dtypeArrays[dtype]((end - begin) / dtypeArrays[dtype].BYTES_PER_ELEMENT);
      const bytes = new Uint8Array(data.buffer);
      if ((await reader.readInto(bytes)) < bytes.length)
        throw malformed(path, `it ends inside tensor "${name}"`);
      check.add(bytes);
      tensors.set(name, { dtype, shape, data });
    }
    if (!(await reader.atEnd())) throw malformed(path, 'there are bytes after the last tensor');
    if (!check.isSound()) {
      throw new UserError(
        `${path}: damaged or edited: its content does not match its checksum (metadata "${CHECKSUM_KEY}")`,
        'Restore the file, or delete it and make it again.',
      );
    }
    return { path, tensors, metadata: header.metadata, floats: (name) => floatsOf(path, tensors, name) };
  });
}

/** Reads the header's string map only; cheap for any size of file. */
export async function readSafetensorsMetadata(path: string): Promise<Record<string, string>> {
  return withReader(path, async (_, header) => header.metadata);
}

interface FileStart extends SafetensorsHeader {
  /** Its bytes. */
  readonly start: readonly Uint8Array[];
  /** Not among the metadata. */
  readonly checksum: string | undefined;
}

async function withReader<T>(
  path: string,
  use: (reader: ByteReader, start: FileStart) => Promise<T>,
): Promise<T> {
  // Opened once: a writer may put another file in its place at any time.
  const file = await openFile(path);
  try {
    const { size, gzipped } = await inspect(file);
    const bytes = file.createReadStream({ start: 0, highWaterMark: 1 << 20, autoClose: false });
    const stream = gzipped ? bytes.pipe(createGunzip({ chunkSize: 1 << 18 })) : bytes;
    // pipe() does not forward errors: without this a failing read would leave the gunzip waiting.
    if (stream !== bytes) bytes.on('error', (error) => stream.destroy(error));
    const reader = new ByteReader(stream);
    try {
      const largest = gzipped ? size * MAX_INFLATION : size;
      return await use(reader, await readStart(path, reader, largest));
    } finally {
      stream.destroy();
      bytes.destroy();
    }
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    await file.close();
  }
}

/** @param largest an upper bound of the file's (uncompressed) size: nothing beyond it is ever allocated */
async function readStart(path: string, reader: ByteReader, largest: number): Promise<FileStart> {
  const prefix = new Uint8Array(8);
  if ((await reader.readInto(prefix)) < 8) throw malformed(path, 'it is shorter than 8 bytes');
  const length = Number(new DataView(prefix.buffer).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES || length + 8 > largest) {
    // A header of a possible length is one of a truncated file, whatever its first byte looks like.
    const foreign = length > MAX_HEADER_BYTES ? recogniseFile(prefix) : undefined;
    if (foreign) throw new UserError(`${path}: is ${foreign.what}, not a safetensors file`, foreign.hint);
    throw malformed(path, `its first 8 bytes announce a header of ${length} bytes`);
  }
  const bytes = new Uint8Array(length);
  if ((await reader.readInto(bytes)) < length) throw malformed(path, 'it ends inside its header');
  const header = parseHeader(path, bytes);
  if (8 + length + header.dataBytes > largest) {
    const last = header.entries[header.entries.length - 1];
    throw malformed(path, `it is truncated: tensor "${last.name}" ends after the end of the file`);
  }
  const { [CHECKSUM_KEY]: checksum, ...metadata } = header.metadata;
  return { ...header, metadata, start: [prefix, bytes], checksum };
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** What to tell of a system's or zlib's error; any other error as it is. */
function unreadable(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (!code) return error;
  if (code.startsWith('Z_')) return malformed(path, `its gzip compression is damaged (${code})`);
  if (code === 'ENOENT') return new UserError(`${path}: no such file`, 'Check the path.');
  if (code === 'EISDIR') return new UserError(`${path}: is a folder, not a safetensors file`, 'Name a file.');
  return new UserError(`${path}: cannot be read (${code})`, 'Check the path and its permissions.');
}

async function inspect(file: FileHandle): Promise<{ size: number; gzipped: boolean }> {
  const start = new Uint8Array(9);
  const { bytesRead } = await file.read(start, 0, 9, 0);
  // A safetensors header of 559,903 + n·2^32 bytes starts like gzip, but its ninth byte opens the JSON.
  const gzipped =
    bytesRead === 9 && start[0] === 0x1f && start[1] === 0x8b && start[2] === 8 && start[8] !== 0x7b;
  return { size: (await file.stat()).size, gzipped };
}

function floatsOf(path: string, tensors: ReadonlyMap<string, Tensor>, name: string): Float32Array {
  const tensor = tensors.get(name);
  if (!tensor) throw new UserError(`${path}: tensor "${name}" is missing`);
  switch (tensor.dtype) {
    case 'F32':
      return tensor.data as Float32Array;
    case 'F16':
      return decodeFloat16(tensor.data as Uint16Array);
    case 'BF16':
      return decodeBFloat16(tensor.data as Uint16Array);
    case 'F64':
      return Float32Array.from(tensor.data as Float64Array);
    default:
      throw new UserError(`${path}: tensor "${name}" has dtype ${tensor.dtype}; a float type was expected`);
  }
}

/** A tensor to be written. */
export function tensor(dtype: Dtype, shape: readonly number[], data: Tensor['data']): Tensor {
  return { dtype, shape, data };
}

/**
 * Writes a file in one atomic step ({@link replaceFile}). Equal content gives equal bytes: tensors are ordered by
 * element size, largest first (so that all are aligned), then by name.
 * @throws UserError when the disk is full or the folder cannot be written; the old file is then intact
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await replaceFile(path, encodeSafetensors(tensors, metadata));
}

/** The bytes of a file with its checksum, in chunks that share memory with the tensors. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const entries: [string, Tensor][] = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const width = (tensor: Tensor) => dtypeArrays[tensor.dtype].BYTES_PER_ELEMENT;
  entries.sort(([a, x], [b, y]) => width(y) - width(x) || (a < b ? -1 : a > b ? 1 : 0));

  // Built as text: JSON.stringify would move names that look like integers to the front.
  const fields: string[] = [];
  const notes: Record<string, string> = { ...metadata, [CHECKSUM_KEY]: BLANK_CHECKSUM };
  const pairs = Object.keys(notes).map((key) => `${JSON.stringify(key)}:${JSON.stringify(notes[key])}`);
  fields.push(`"__metadata__":{${pairs.sort().join(',')}}`);
  let offset = 0;
  const chunks: Uint8Array[] = [];
  for (const [name, { dtype, shape, data }] of entries) {
    const elements = shape.reduce((product, size) => product * size, 1);
    if (name === '__metadata__' || !(data instanceof dtypeArrays[dtype]) || elements !== data.length)
      throw new Error(`tensor "${name}": ${dtype} [${shape}] does not fit its ${data.length} elements`);
    const end = offset + data.byteLength;
    const description = { dtype, shape, data_offsets: [offset, end] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(description)}`);
    chunks.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    offset = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  sealFile(header, chunks);
  return [header, ...chunks];
}
