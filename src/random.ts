/**
 * @file Counter-based randomness: every draw is a pure function of a key, so results do not depend on
 * threads, engines or where a run was resumed. The mixer is the 32-bit finaliser of MurmurHash3
 * (A. Appleby, public domain algorithm), applied once per key word.
 */

function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Hashes a key of 32-bit integers to an unsigned 32-bit integer. */
export function hash32(...key: number[]): number {
  let h = 0x9e3779b9;
  for (const word of key) h = mix((h + Math.imul(word | 0, 0x9e3779b1) + 0x7f4a7c15) | 0);
  return h;
}

/** A uniform draw in the open interval (0, 1), a function of the key alone. */
export function uniform(...key: number[]): number {
  return (hash32(...key) + 0.5) / 4294967296;
}

/** The 32-bit FNV-1a hash of a string: turns a layer's name into a key word. */
export function hashString(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** A permutation of 0 … n−1 (Fisher–Yates), a function of the key alone. */
export function permutation(n: number, ...key: number[]): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(uniform(...key, i) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
