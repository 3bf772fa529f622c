/**
 * @file Bilinear crop-and-resize, antialiased when it shrinks. For whole-pixel crops the result equals Pillow's
 * `image.crop(…).resize(…, BILINEAR)` (and so torchvision's on PIL images) bit for bit: triangle filter, 22-bit fixed-point
 * weights, first across, then down, rounded to 8 bits in between.
 * Source: Pillow, src/libImaging/Resample.c (precompute_coeffs, normalize_coeffs_8bpc).
 */
import type { Box } from './types.js';

const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

interface Weights {
  /** Taps per output pixel, the same for all. */
  readonly taps: number;
  /** First source pixel of each output pixel [count]. */
  readonly first: Int32Array;
  /** Fixed-point weights [count, taps]. */
  readonly values: Int32Array;
}

/** Triangle-filter weights from `start … start + length` of a row of `size` pixels to `count` pixels. */
function triangleWeights(size: number, start: number, length: number, count: number): Weights {
  const scale = length / count;
  const support = Math.max(scale, 1);
  const low = Math.max(0, Math.floor(start));
  const high = Math.min(size, Math.ceil(start + length));
  const begins = new Int32Array(count);
  const ends = new Int32Array(count);
  let taps = 1;
  for (let i = 0; i < count; i++) {
    const center = start + (i + 0.5) * scale;
    begins[i] = Math.max(low, Math.trunc(center - support + 0.5));
    ends[i] = Math.min(high, Math.trunc(center + support + 0.5));
    // A last pixel at the very edge of the triangle has weight 0: sizes that stay the same need one tap.
    if (ends[i] - 1 - center + 0.5 >= support && ends[i] - begins[i] > 1) ends[i]--;
    taps = Math.max(taps, ends[i] - begins[i]);
  }
  // Three taps run faster as four.
  if (taps === 3 && high - low > 3) taps = 4;
  const first = new Int32Array(count);
  const values = new Int32Array(count * taps);
  const exact = new Float64Array(taps);
  for (let i = 0; i < count; i++) {
    const center = start + (i + 0.5) * scale;
    const used = ends[i] - begins[i];
    let sum = 0;
    for (let k = 0; k < used; k++) {
      exact[k] = Math.max(0, 1 - Math.abs((begins[i] + k - center + 0.5) / support));
      sum += exact[k];
    }
    // A window that would pass the border starts earlier, with weights 0 in front.
    first[i] = Math.min(begins[i], high - taps);
    const shift = begins[i] - first[i];
    for (let k = 0; k < used; k++) {
      values[i * taps + shift + k] = Math.floor(0.5 + (exact[k] / sum) * (1 << PRECISION_BITS));
    }
  }
  return { taps, first, values };
}

/** Resizes crops into squares; keeps its intermediate buffer between calls. */
export class Resampler {
  private across = new Uint8Array(0);

  /**
   * @param source RGB rows `firstRow …` of an image of width × height
   * @param crop in pixels of the image, need not be whole
   * @param target receives [size, size, 3] at `offset`
   */
  cropResize(
    source: Uint8Array,
    image: { readonly width: number; readonly height: number; readonly firstRow: number },
    crop: Box,
    target: Uint8Array,
    offset: number,
    size: number,
    flip: boolean,
  ): void {
    const horizontal = triangleWeights(image.width, crop.x, crop.width, size);
    const vertical = triangleWeights(image.height, crop.y, crop.height, size);
    const firstRow = vertical.first[0];
    const endRow = vertical.first[size - 1] + vertical.taps;
    const rows = endRow - firstRow;
    if (this.across.length < rows * size * 3) this.across = new Uint8Array(rows * size * 3);
    const sourceStart = (firstRow - image.firstRow) * image.width * 3;
    resizeAcross(source, sourceStart, image.width, rows, horizontal, this.across, size, flip);
    resizeDown(this.across, firstRow, vertical, target, offset, size);
  }
}

/** The rows of an image that `Resampler.cropResize` reads for a crop. */
export function rowsOfCrop(crop: Box, height: number): { firstRow: number; rows: number } {
  const firstRow = Math.max(0, Math.floor(crop.y));
  return { firstRow, rows: Math.min(height, Math.ceil(crop.y + crop.height)) - firstRow };
}

function resizeAcross(
  source: Uint8Array,
  start: number,
  width: number,
  rows: number,
  weights: Weights,
  target: Uint8Array,
  size: number,
  flip: boolean,
): void {
  const row = { 1: copyRow, 2: acrossTwoTaps, 4: acrossFourTaps }[weights.taps] ?? acrossTaps;
  const step = flip ? -3 : 3;
  for (let y = 0; y < rows; y++) {
    row(source, start + y * width * 3, weights, target, (y * size + (flip ? size - 1 : 0)) * 3, step);
  }
}

/** One row across: `from` and `to` are byte positions, `step` is −3 to mirror. */
type RowPass = (
  source: Uint8Array,
  from: number,
  weights: Weights,
  target: Uint8Array,
  to: number,
  step: number,
) => void;

const copyRow: RowPass = (source, from, { first }, target, to, step) => {
  for (let i = 0, at = to; i < first.length; i++, at += step) {
    const pixel = from + first[i] * 3;
    target[at] = source[pixel];
    target[at + 1] = source[pixel + 1];
    target[at + 2] = source[pixel + 2];
  }
};

const acrossTwoTaps: RowPass = (source, from, { first, values }, target, to, step) => {
  for (let i = 0, at = to; i < first.length; i++, at += step) {
    const pixel = from + first[i] * 3;
    const a = values[2 * i];
    const b = values[2 * i + 1];
    target[at] = (Math.imul(source[pixel], a) + Math.imul(source[pixel + 3], b) + HALF) >> PRECISION_BITS;
    target[at + 1] =
      (Math.imul(source[pixel + 1], a) + Math.imul(source[pixel + 4], b) + HALF) >> PRECISION_BITS;
    target[at + 2] =
      (Math.imul(source[pixel + 2], a) + Math.imul(source[pixel + 5], b) + HALF) >> PRECISION_BITS;
  }
};

const acrossFourTaps: RowPass = (source, from, { first, values }, target, to, step) => {
  for (let i = 0, at = to; i < first.length; i++, at += step) {
    const pixel = from + first[i] * 3;
    const a = values[4 * i];
    const b = values[4 * i + 1];
    const c = values[4 * i + 2];
    const d = values[4 * i + 3];
    for (let k = 0; k < 3; k++) {
      const left = Math.imul(source[pixel + k], a) + Math.imul(source[pixel + k + 3], b);
      const right = Math.imul(source[pixel + k + 6], c) + Math.imul(source[pixel + k + 9], d);
      target[at + k] = (left + right + HALF) >> PRECISION_BITS;
    }
  }
};

const acrossTaps: RowPass = (source, from, { taps, first, values }, target, to, step) => {
  for (let i = 0, at = to; i < first.length; i++, at += step) {
    let pixel = from + first[i] * 3;
    let red = HALF;
    let green = HALF;
    let blue = HALF;
    for (let k = i * taps; k < (i + 1) * taps; k++, pixel += 3) {
      const weight = values[k];
      red += Math.imul(source[pixel], weight);
      green += Math.imul(source[pixel + 1], weight);
      blue += Math.imul(source[pixel + 2], weight);
    }
    target[at] = red >> PRECISION_BITS;
    target[at + 1] = green >> PRECISION_BITS;
    target[at + 2] = blue >> PRECISION_BITS;
  }
};

function resizeDown(
  source: Uint8Array,
  firstRow: number,
  { taps, first, values }: Weights,
  target: Uint8Array,
  offset: number,
  size: number,
): void {
  const stride = size * 3;
  for (let row = 0; row < size; row++) {
    const from = (first[row] - firstRow) * stride;
    const to = offset + row * stride;
    if (taps === 1) target.set(source.subarray(from, from + stride), to);
    else if (taps === 2) downTwoTaps(source, from, values, row * 2, target, to, stride);
    else if (taps === 4) downFourTaps(source, from, values, row * 4, target, to, stride);
    else downTaps(source, from, values.subarray(row * taps, (row + 1) * taps), 0, target, to, stride);
  }
}

/** One row of the second pass: `stride` bytes at `to`, from as many rows as it has weights (from `w` on). */
type DownPass = (
  source: Uint8Array,
  from: number,
  weights: Int32Array,
  w: number,
  target: Uint8Array,
  to: number,
  stride: number,
) => void;

const downTwoTaps: DownPass = (source, from, weights, w, target, to, stride) => {
  const [a, b] = [weights[w], weights[w + 1]];
  for (let i = 0; i < stride; i++) {
    const sum = Math.imul(source[from + i], a) + Math.imul(source[from + stride + i], b);
    target[to + i] = (sum + HALF) >> PRECISION_BITS;
  }
};

const downFourTaps: DownPass = (source, from, weights, w, target, to, stride) => {
  const [a, b, c, d] = [weights[w], weights[w + 1], weights[w + 2], weights[w + 3]];
  for (let i = 0, at = from; i < stride; i++, at++) {
    const upper = Math.imul(source[at], a) + Math.imul(source[at + stride], b);
    const lower = Math.imul(source[at + 2 * stride], c) + Math.imul(source[at + 3 * stride], d);
    target[to + i] = (upper + lower + HALF) >> PRECISION_BITS;
  }
};

const downTaps: DownPass = (source, from, weights, _, target, to, stride) => {
  for (let i = 0; i < stride; i++) {
    let sum = HALF;
    for (let k = 0, at = from + i; k < weights.length; k++, at += stride) {
      sum += Math.imul(source[at], weights[k]);
    }
    target[to + i] = sum >> PRECISION_BITS;
  }
};
