/**
 * @file The header of a safetensors file: 8 bytes of little-endian length, then JSON. Checks what the reference
 * implementation (huggingface/safetensors) checks: every tensor inside the file, no overlap, no gap, no duplicate.
 */
import { UserError } from '../errors.js';
import { type Dtype, dtypeArrays } from './dtype.js';

/** As in the reference implementation. */
export const MAX_HEADER_BYTES = 100_000_000;

export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Offset in the data section. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In file order, without gaps. */
  readonly entries: readonly TensorEntry[];
  readonly metadata: Record<string, string>;
  /** Length of the data section. */
  readonly dataBytes: number;
}

/** Why a file is no usable safetensors file, as one message. */
export function malformed(path: string, problem: string): UserError {
  return new UserError(
    `${path}: not a valid safetensors file: ${problem}`,
    'Fetch or write the file again; xbm reads safetensors (also gzipped), not .pt, .pth or .bin files.',
  );
}

/**
 * Parses and checks the JSON part.
 * @throws UserError naming the file and the tensor
 */
export function parseHeader(path: string, bytes: Uint8Array): SafetensorsHeader {
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    json = JSON.parse(text);
  } catch {
    throw malformed(path, 'its header is not JSON');
  }
  if (!isObject(json)) throw malformed(path, 'its header is not a JSON object');
  const duplicate = duplicateKey(text);
  if (duplicate !== undefined) throw malformed(path, `the key "${shorten(duplicate)}" appears twice`);

  const entries: TensorEntry[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') metadata = parseMetadata(path, value);
    else entries.push(parseEntry(path, name, value));
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let end = 0;
  for (const entry of entries) {
    if (entry.begin !== end) {
      const problem = entry.begin < end ? 'overlaps the tensor before it' : 'leaves a gap before it';
      throw malformed(path, `tensor "${shorten(entry.name)}" ${problem} (byte ${entry.begin}, not ${end})`);
    }
    end = entry.end;
  }
  return { entries, metadata, dataBytes: end };
}

function parseMetadata(path: string, value: unknown): Record<string, string> {
  if (!isObject(value)) throw malformed(path, '__metadata__ is not an object');
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw malformed(path, `metadata "${shorten(key)}" is not a string`);
  }
  return value as Record<string, string>;
}

function parseEntry(path: string, name: string, value: unknown): TensorEntry {
  const fail = (problem: string) => malformed(path, `tensor "${shorten(name)}" ${problem}`);
  if (!isObject(value)) throw fail('is not described by an object');
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string') throw fail('has no dtype');
  if (!Object.hasOwn(dtypeArrays, dtype)) {
    const known = Object.keys(dtypeArrays).join(', ');
    throw fail(`has dtype ${shorten(dtype)}; xbm reads ${known}`);
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) throw fail('has a shape that is no list of sizes');
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize) || offsets[0] > offsets[1])
    throw fail('has data_offsets that are no range of bytes');
  const [begin, end] = offsets as [number, number];
  const elements = shape.reduce((product: number, size: number) => product * size, 1);
  const expected = elements * dtypeArrays[dtype as Dtype].BYTES_PER_ELEMENT;
  if (expected !== end - begin) {
    throw fail(`has ${end - begin} bytes, but ${dtype} [${shape.slice(0, 8).join(', ')}] takes ${expected}`);
  }
  return { name, dtype: dtype as Dtype, shape, begin, end };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
/** Names come from the file: a message quotes at most 80 characters of them. */
const shorten = (text: string) => (text.length > 80 ? `${text.slice(0, 80)}…` : text);

/** The first key that one object of a valid JSON text has twice; JSON.parse would silently keep the last. */
function duplicateKey(text: string): string | undefined {
  const scopes: Set<string>[] = [];
  let lastString = '';
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '"') {
      const start = i++;
      while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
      lastString = text.slice(start, i + 1);
    } else if (char === '{') {
      scopes.push(new Set());
    } else if (char === '}') {
      scopes.pop();
    } else if (char === ':') {
      const key: string = JSON.parse(lastString);
      const keys = scopes[scopes.length - 1];
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}
