import { hashString, uniform } from '../random.js';

/**
 * Gumbel noise g1 − g2, g = −ln(−ln U), for every mask bit of one layer: a function of (seed, step, layer, index),
 * the same in every engine.
 * @param layer the convolution's name
 * @param length mask bits of the layer
 */
export function gumbelNoise(seed: number, step: number, layer: string, length: number): Float32Array {
  const key = hashString(layer);
  const gumbel = (draw: number, i: number) => -Math.log(-Math.log(uniform(seed, step, key, i, draw)));
  return Float32Array.from({ length }, (_, i) => gumbel(0, i) - gumbel(1, i));
}
