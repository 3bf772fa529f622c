/** @file A fast checksum over pixels, against damaged cache files (not against attackers). */

/**
 * Two interleaved multiplicative hashes over 32-bit words; about as fast as memory can be read.
 * @param bytes starts at a multiple of four bytes in its buffer
 */
export function checksum32(bytes: Uint8Array, ...key: number[]): number {
  let a = 0x9e3779b9;
  let b = 0x85ebca6b ^ bytes.length;
  for (const word of key) a = Math.imul(a ^ word, 0x01000193) ^ (a >>> 15);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  const paired = words.length & ~1;
  for (let i = 0; i < paired; i += 2) {
    a = Math.imul(a ^ words[i], 0x85ebca6b);
    b = Math.imul(b ^ words[i + 1], 0xc2b2ae35);
    a = (a << 13) | (a >>> 19);
    b = (b << 15) | (b >>> 17);
  }
  for (let i = paired * 4; i < bytes.length; i++) a = Math.imul(a ^ bytes[i], 0x01000193);
  a ^= Math.imul(b ^ (b >>> 16), 0x27d4eb2f);
  a = Math.imul(a ^ (a >>> 15), 0x2c1b3c6d);
  return (a ^ (a >>> 13)) >>> 0;
}
