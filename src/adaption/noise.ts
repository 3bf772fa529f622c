import { hashString, uniform } from '../random.js';

/** KSM's code: soft = sigmoid((1200 · (score − threshold) + g1 − g2) / 100). Its slope is 1200 / 100 = 12. */
const TEMPERATURE = 100;

/**
 * What Gumbel noise adds to the sigmoid's argument, (g1 − g2) / 100 with g = −ln(−ln U), for every mask bit of one
 * layer: a function of (seed, step, layer, index), the same in every engine.
 * @param layer the convolution's name
 * @param length mask bits of the layer
 */
export function gumbelNoise(seed: number, step: number, layer: string, length: number): Float32Array {
  const key = hashString(layer);
  const gumbel = (draw: number, i: number) => -Math.log(-Math.log(uniform(seed, step, key, i, draw)));
  return Float32Array.from({ length }, (_, i) => (gumbel(0, i) - gumbel(1, i)) / TEMPERATURE);
}
