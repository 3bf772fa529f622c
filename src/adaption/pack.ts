/** @file Mask bits as they are stored: eight to a byte, bit i of the mask in bit i mod 8 of byte ⌊i / 8⌋. */

/** Bytes that `bits` packed mask bits take. */
export function packedBytes(bits: number): number {
  return Math.ceil(bits / 8);
}

/**
 * Packs mask bits; unused bits of the last byte are 0.
 * @param bits each exactly 0 or 1
 * @throws RangeError on any other value: masks are binary
 */
export function packBits(bits: Uint8Array): Uint8Array {
  const packed = new Uint8Array(packedBytes(bits.length));
  bits.forEach((bit, i) => {
    if (bit > 1) throw new RangeError(`mask bit ${i} is ${bit}, expected 0 or 1`);
    packed[i >> 3] |= bit << (i & 7);
  });
  return packed;
}

/**
 * The first `count` bits of a packed mask.
 * @throws RangeError when the length does not fit or an unused bit is set: the mask is damaged or another layer's
 */
export function unpackBits(packed: Uint8Array, count: number): Uint8Array {
  if (packed.length !== packedBytes(count)) {
    throw new RangeError(`${count} mask bits take ${packedBytes(count)} bytes, found ${packed.length}`);
  }
  if (count % 8 !== 0 && packed[packed.length - 1] >> (count % 8) !== 0) {
    throw new RangeError('unused bits of the last mask byte are set');
  }
  const bits = new Uint8Array(count);
  for (let i = 0; i < count; i++) bits[i] = (packed[i >> 3] >> (i & 7)) & 1;
  return bits;
}
