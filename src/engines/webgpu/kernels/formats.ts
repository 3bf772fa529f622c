/**
 * @file How feature maps and their gradients lie in memory: [pixels, quads], a quad being four channels of one pixel.
 * Values stand for themselves or, where a map says so, for multiples of a step.
 */
import { decodeBFloat16, decodeFloat16 } from '../../../model/dtype.js';
import type { ElementType } from '../kernel.js';

/**
 * `levels`: bytes, what a quantiser writes. `float16`: the sums of convolutions, which reach 2^15 at most and are
 * integers up to 2^11 exact, and the network's input in two values. `bfloat16`: gradients, whose magnitudes nobody knows in advance.
 */
export type FeatureFormat = 'float32' | 'float16' | 'bfloat16' | 'levels';

interface Format {
  readonly element: ElementType;
  /** Of a quad. */
  readonly bytes: number;
  /** Of a quad. */
  readonly words: number;
  /** WGSL: vec4f from an expression of an element. */
  load(element: string): string;
  /** WGSL: an element from an expression of a vec4f. */
  store(values: string): string;
  /** WGSL: vec4f from expressions of a quad's words. */
  values(words: readonly string[]): string;
}

export const formats: Readonly<Record<FeatureFormat, Format>> = {
  float32: {
    element: 'vec4f',
    bytes: 16,
    words: 4,
    load: (element) => element,
    store: (values) => values,
    values: (words) => `bitcast<vec4f>(vec4u(${words.join(', ')}))`,
  },
  float16: {
    element: 'vec4<f16>',
    bytes: 8,
    words: 2,
    load: (element) => `vec4f(${element})`,
    store: (values) => `vec4<f16>(${values})`,
    values: (words) => `vec4f(${float16Halves(words)})`,
  },
  bfloat16: {
    element: 'vec2u',
    bytes: 8,
    words: 2,
    load: (element) => `bfloat16Values(${element})`,
    store: (values) => `bfloat16Pairs(${values})`,
    values: (words) => `bfloat16Values(vec2u(${words.join(', ')}))`,
  },
  levels: {
    element: 'u32',
    bytes: 4,
    words: 1,
    load: (element) => `vec4f(unpack4xU8(${element}))`,
    store: (values) => `pack4xU8(vec4u(${values}))`,
    values: ([word]) => `vec4f(unpack4xU8(${word}))`,
  },
};

/** WGSL: vec4<f16> from expressions of a quad's words. */
export function halves(format: FeatureFormat, words: readonly string[], scale?: string): string {
  if (scale === undefined && format === 'float16') return float16Halves(words);
  if (scale === undefined && format === 'levels') return levelHalves(words[0]);
  return `vec4<f16>(${formats[format].values(words)}${scale === undefined ? '' : ` * ${scale}`})`;
}

const float16Halves = (words: readonly string[]): string =>
  `vec4<f16>(${words.map((word) => `bitcast<vec2<f16>>(${word})`).join(', ')})`;

/** 0x6400 is 1024 in float16, whose last bits then count ones: a byte beside it is 1024 + itself, without a conversion. */
const levelHalves = (word: string): string => {
  const pair = (bytes: string) => `bitcast<vec2<f16>>(${bytes} | 0x64006400u)`;
  const low = pair(`(${word} & 0xffu) | ((${word} & 0xff00u) << 8u)`);
  const high = pair(`((${word} >> 16u) & 0xffu) | ((${word} >> 8u) & 0xff0000u)`);
  return `(vec4<f16>(${low}, ${high}) - vec4<f16>(1024.0h))`;
};

/** Values as they lie in memory, from bytes read back. */
export function readValues(bytes: ArrayBuffer, format: FeatureFormat): Float32Array {
  switch (format) {
    case 'float32':
      return new Float32Array(bytes);
    case 'float16':
      return decodeFloat16(new Uint16Array(bytes));
    case 'bfloat16':
      return decodeBFloat16(new Uint16Array(bytes));
    case 'levels':
      return new Float32Array(new Uint8Array(bytes));
  }
}
