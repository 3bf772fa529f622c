/** @file Damage to files, and what readers may do about it. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { UserError } from '../../src/errors.js';
import { CHECKSUM_KEY } from '../../src/model/fileChecksum.js';

/** Runs of one fuzz test: 100, or XBM_FUZZ_RUNS. */
export function fuzzRuns(): number {
  return Number(process.env.XBM_FUZZ_RUNS ?? 100);
}

/** The file as if an older version had written it: damage then reaches the checks behind the checksum. */
export function withoutChecksum(bytes: Uint8Array): Buffer {
  const text = Buffer.from(bytes).toString('latin1');
  assert.ok(text.includes(CHECKSUM_KEY));
  return Buffer.from(text.replace(CHECKSUM_KEY, '-'.repeat(CHECKSUM_KEY.length)), 'latin1');
}

/** Truncated, extended, overwritten, bit-flipped copies; damage prefers the header, where it means most. */
export function mutate(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  const headerEnd = Math.min(
    bytes.length,
    8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)),
  );
  const place = fc.oneof(fc.nat({ max: headerEnd - 1 }), fc.nat({ max: bytes.length - 1 }));
  const edit = (change: (copy: Uint8Array) => void): Uint8Array => {
    const copy = Uint8Array.from(bytes);
    change(copy);
    return copy;
  };
  return fc.oneof(
    place.map((at) => bytes.slice(0, at)),
    fc.uint8Array({ minLength: 1, maxLength: 20 }).map((tail) => Uint8Array.from([...bytes, ...tail])),
    fc.array(fc.tuple(place, fc.nat({ max: 7 })), { minLength: 1, maxLength: 8 }).map((flips) =>
      edit((copy) => {
        for (const [at, bit] of flips) copy[at] ^= 1 << bit;
      }),
    ),
    fc
      .tuple(place, fc.uint8Array({ minLength: 1, maxLength: 16 }))
      .map(([at, patch]) => edit((copy) => copy.set(patch.subarray(0, copy.length - at), at))),
    // Digits and punctuation in the header: other sizes, other keys, still JSON more often than not.
    fc.tuple(fc.nat({ max: headerEnd - 1 }), fc.constantFrom(...'0123456789-.eE"{}[],:')).map(([at, char]) =>
      edit((copy) => {
        copy[at] = char.charCodeAt(0);
      }),
    ),
  );
}

/** Reading may succeed or end in a UserError with a message; nothing else. */
export async function assertOnlyUserErrors(read: () => Promise<unknown>): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    assert.ok(error.message.length > 10 && error.message.length < 2000);
  }
}
