/** @file Weight levels in bytes: two's-complement nibbles, low nibble first, up to 4 bits; else one byte each. */

/** Packs two levels (−8 … 7) per byte; an odd last one leaves the high nibble 0. */
export function packLevels(levels: Int8Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(levels.length / 2));
  for (let i = 0; i < levels.length; i++) bytes[i >> 1] |= (levels[i] & 0xf) << (4 * (i & 1));
  return bytes;
}

/** The inverse of {@link packLevels}. @param count number of levels */
export function unpackLevels(bytes: Uint8Array, count: number): Int8Array {
  const levels = new Int8Array(count);
  for (let i = 0; i < count; i++) {
    const nibble = (bytes[i >> 1] >> (4 * (i & 1))) & 0xf;
    levels[i] = nibble < 8 ? nibble : nibble - 16;
  }
  return levels;
}
