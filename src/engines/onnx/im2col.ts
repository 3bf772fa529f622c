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
  return gather(site, input, conv.inChannels, from.height * from.width, indices);
}

/**
 * Columns [outC·k², input pixels·batch] of a merged output gradient: tap t of input pixel i holds the gradient of the
 * output pixel that saw i under tap t, or zero.
 */
export function columnsUnderFlippedFilter(site: ConvSite, gradient: string): string {
  const { conv, input: to, output: from } = site;
  const { kernel, stride, padding } = conv;
  const indices: number[] = [];
  for (let tap = 0; tap < kernel * kernel; tap++) {
    const [tapRow, tapColumn] = [Math.floor(tap / kernel), tap % kernel];
    for (let pixel = 0; pixel < to.height * to.width; pixel++) {
      const row = (Math.floor(pixel / to.width) + padding - tapRow) / stride;
      const column = ((pixel % to.width) + padding - tapColumn) / stride;
      indices.push(pixelIndex(row, column, from));
    }
  }
  return gather(site, gradient, conv.outChannels, from.height * from.width, indices);
}

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

function gather(site: ConvSite, value: string, channels: number, pixels: number, indices: number[]): string {
  const { builder, batchSize } = site.layouts;
  let source = builder.op('Reshape', [value, builder.ints(channels, pixels, batchSize)]);
  if (indices.includes(pixels)) {
    const zeroPixel = builder.constant(new Float32Array(channels * batchSize), [channels, 1, batchSize]);
    source = builder.op('Concat', [source, zeroPixel], { axis: 1 });
  }
  const positions = builder.constant(Int32Array.from(indices), [indices.length]);
  const gathered = builder.op('Gather', [source, positions], { axis: 1 });
  return builder.op('Reshape', [gathered, builder.ints(channels * site.conv.kernel ** 2, -1)]);
}
