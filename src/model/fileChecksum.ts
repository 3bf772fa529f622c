/**
 * @file The checksum of the safetensors files that xbm writes: SHA-256 of the whole file, its own digits read as zeros,
 * in the metadata. Files of other programs, and those of older versions of xbm, have none.
 */
import { createHash, type Hash } from 'node:crypto';

export const CHECKSUM_KEY = 'xbmSha256';

/** What the checksum's place holds while it is computed. */
export const BLANK_CHECKSUM = '0'.repeat(64);

/** Bytes before the digits. A quotation mark inside another JSON string is escaped, so no other place has them. */
const MARK = Buffer.from(`"${CHECKSUM_KEY}":"`);

/** Fills in the checksum of a file whose header has {@link BLANK_CHECKSUM}. @param start length and header, changed */
export function sealFile(start: Uint8Array, data: readonly Uint8Array[]): void {
  const hash = createHash('sha256').update(start);
  for (const chunk of data) hash.update(chunk);
  start.set(Buffer.from(hash.digest('hex')), digitsAt(start));
}

/** Compares a file with its checksum while it is read. */
export class FileCheck {
  readonly #hash: Hash | null = null;

  /** @param expected the checksum in the metadata; without one every file is sound */
  constructor(
    start: readonly Uint8Array[],
    private readonly expected: string | undefined,
  ) {
    if (expected === undefined) return;
    const bytes = Buffer.concat(start);
    const at = digitsAt(bytes);
    bytes.subarray(at, at + BLANK_CHECKSUM.length).fill('0');
    this.#hash = createHash('sha256').update(bytes);
  }

  /** Takes the next bytes of the data section. */
  add(bytes: Uint8Array): void {
    this.#hash?.update(bytes);
  }

  /** Whether the file is as it was written; ask once, after the last byte. */
  isSound(): boolean {
    return this.#hash === null || this.#hash.digest('hex') === this.expected;
  }
}

/** Where the digits start; at the end when another program wrote the header anew, so that nothing matches. */
function digitsAt(start: Uint8Array): number {
  const at = Buffer.from(start.buffer, start.byteOffset, start.length).indexOf(MARK);
  return at < 0 ? start.length : at + MARK.length;
}
