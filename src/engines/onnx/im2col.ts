/** @file im2col in the merged layout: one Gather copies, for each tap and pixel, the values of all images at once. */
import type { ConvSite } from './convolution.js';

/** Columns [inC·k², output pixels·batch] of a merged input [1, inC, pixels·batch]. */
export function columnsUnderFilter(site: ConvSite, input: string): string {
  const { conv, layouts, input: from, output: to } = site;
  const { kernel, stride, padding } = conv;
  if (kernel === 1 && stride === 1) {
    return layouts.builder.op('Reshape', [input, layouts.builder.ints(conv.inChannels, -1)]);
  }
  const indices: number[] = [];
  for (let tap = 0; tap < kernel * kernel; tap++) {
    const [tapRow, tapColumn] = [Math.floor(tap / kernel), tap % kernel];
    for (let pixel = 0; pixel < to.height * to.width; pixel++) {
      const row = Math.floor(pixel / to.width) * stride + tapRow - padding;
      const column = (pixel % to.width) * stride + tapColumn - padding;
      indices.push(pixelIndex(row, column, from));
    }
  }
  return gather(site, input, conv.inChannels, from.height * from.width, indices, to.height * to.width);
}

/** Input pixels that the same taps of a strided filter touch. */
export interface TapClass {
  readonly taps: readonly number[];
  /** Flat positions of the input pixels. */
  readonly pixels: readonly number[];
}

/** Input pixels grouped by the taps that can reach them: stride² classes, all pixels in one for stride 1. */
export function tapClasses({ conv, input }: ConvSite): TapClass[] {
  const { kernel, stride, padding } = conv;
  const classes: TapClass[] = [];
  for (let phase = 0; phase < stride * stride; phase++) {
    const [phaseRow, phaseColumn] = [Math.floor(phase / stride), phase % stride];
    const reaches = (position: number, tap: number) => (position + padding - tap) % stride === 0;
    const taps = range(kernel * kernel).filter(
      (tap) => reaches(phaseRow, Math.floor(tap / kernel)) && reaches(phaseColumn, tap % kernel),
    );
    const pixels = range(input.height * input.width).filter(
      (pixel) =>
        Math.floor(pixel / input.width) % stride === phaseRow &&
        (pixel % input.width) % stride === phaseColumn,
    );
    if (pixels.length > 0) classes.push({ taps, pixels });
  }
  return classes;
}

/**
 * Columns [outC·taps, pixels·batch] of a merged output gradient: tap t of input pixel i holds the gradient of the
 * output pixel that saw i under tap t, or zero.
 */
export function columnsUnderFlippedFilter(
  site: ConvSite,
  gradient: string,
  { taps, pixels }: TapClass,
): string {
  const { conv, input: to, output: from } = site;
  const { kernel, stride, padding } = conv;
  const indices = taps.flatMap((tap) =>
    pixels.map((pixel) => {
      const row = (Math.floor(pixel / to.width) + padding - Math.floor(tap / kernel)) / stride;
      const column = ((pixel % to.width) + padding - (tap % kernel)) / stride;
      return pixelIndex(row, column, from);
    }),
  );
  return gather(site, gradient, conv.outChannels, from.height * from.width, indices, pixels.length);
}

/**
 * Puts the classes' results [channels, pixels·batch], one after the other along the pixels, back into pixel order;
 * pixels of no class become zero.
 * @returns [channels, input pixels·batch]
 */
export function pixelsInOrder(
  site: ConvSite,
  parts: readonly { pixels: readonly number[]; value: string }[],
): string {
  const { conv, layouts, input } = site;
  const { builder, batchSize } = layouts;
  const channels = conv.inChannels;
  const apart = parts.map(({ value, pixels }) =>
    builder.op('Reshape', [value, builder.ints(channels, pixels.length, batchSize)]),
  );
  const joined = apart.length === 1 ? apart[0] : builder.op('Concat', apart, { axis: 1 });
  const order = parts.flatMap(({ pixels }) => pixels);
  const place = new Map(order.map((pixel, i) => [pixel, i]));
  const indices = range(input.height * input.width).map((pixel) => place.get(pixel) ?? order.length);
  return gather(site, joined, channels, order.length, indices, indices.length);
}

const range = (length: number) => Array.from({ length }, (_, i) => i);

/** Position of a pixel, or of the zero pixel behind the last one when it lies outside or between pixels. */
function pixelIndex(
  row: number,
  column: number,
  { height, width }: { height: number; width: number },
): number {
  const inside =
    Number.isInteger(row) &&
    Number.isInteger(column) &&
    row >= 0 &&
    column >= 0 &&
    row < height &&
    column < width;
  return inside ? row * width + column : height * width;
}

/**
 * @param pixels of `value` [1, channels, pixels·batch]; index `pixels` means a zero
 * @param columns pixels of the result; the rest of the indices become rows
 * @returns [channels·indices/columns, columns·batch]
 */
function gather(
  site: ConvSite,
  value: string,
  channels: number,
  pixels: number,
  indices: readonly number[],
  columns: number,
): string {
  const { builder, batchSize } = site.layouts;
  const gathered = gatherPixels(site, value, channels, pixels, indices);
  return builder.op('Reshape', [gathered, builder.ints(-1, columns * batchSize)]);
}

/**
 * @param pixels of `value` [1, channels, pixels·batch]; index `pixels` means a zero
 * @returns [channels, indices, batch]
 */
export function gatherPixels(
  { layouts }: ConvSite,
  value: string,
  channels: number,
  pixels: number,
  indices: readonly number[],
): string {
  const { builder, batchSize } = layouts;
  let source = builder.op('Reshape', [value, builder.ints(channels, pixels, batchSize)]);
  if (indices.includes(pixels)) {
    const zeroPixel = builder.constant(new Float32Array(channels * batchSize), [channels, 1, batchSize]);
    source = builder.op('Concat', [source, zeroPixel], { axis: 1 });
  }
  const positions = builder.constant(Int32Array.from(indices), [indices.length]);
  return builder.op('Gather', [source, positions], { axis: 1 });
}
