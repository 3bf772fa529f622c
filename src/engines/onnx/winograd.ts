/**
 * @file 3×3 convolutions by Winograd's minimal filtering in the merged layout (Lavin & Gray 2016, F(4×4, 3×3)): an output
 * tile of 4×4 pixels costs 36 multiplications per pair of channels instead of 144. The forward pass, the input gradient
 * and the weight gradient are 36 matrix products each, one per position of the transformed 6×6 patches.
 */
import type { ConvSite } from './convolution.js';
import { gatherPixels } from './im2col.js';

const TILE = 4;
const PATCH = 6;
/** Interpolation points 0, ±1, ±2, ∞. */
const inputTransform = [
  [4, 0, -5, 0, 1, 0],
  [0, -4, -4, 1, 1, 0],
  [0, 4, -4, -1, 1, 0],
  [0, -2, -1, 2, 1, 0],
  [0, 2, -1, -2, 1, 0],
  [0, 4, 0, -5, 0, 1],
];
const weightTransform = [
  [1 / 4, 0, 0],
  [-1 / 6, -1 / 6, -1 / 6],
  [-1 / 6, 1 / 6, -1 / 6],
  [1 / 24, 1 / 12, 1 / 6],
  [1 / 24, -1 / 12, 1 / 6],
  [0, 0, 1],
];
const outputTransform = [
  [1, 1, 1, 1, 1, 0],
  [0, 1, -1, 2, -2, 0],
  [0, 1, 1, 4, 4, 0],
  [0, 1, -1, 8, -8, 1],
];

/** Whether a convolution is computed this way: of stride 1, keeping the size of a map that is worth its tiles. */
export function isWinograd({ conv, layout, layouts, input }: ConvSite): boolean {
  const { kernel, stride, padding, inChannels, outChannels } = conv;
  if (layout !== 'merged' || kernel !== 3 || stride !== 1 || padding !== 1) return false;
  const tiles = Math.ceil(input.height / TILE) * Math.ceil(input.width / TILE);
  return (
    tiles * PATCH * PATCH < input.height * input.width * 9 &&
    Math.min(inChannels, outChannels) >= layouts.winogradChannels
  );
}

/** The 6×6 pixels around every 4×4 tile of a map [1, channels, pixels·batch]: [channels, 36, tiles·batch]. */
export function patches(site: ConvSite, value: string, channels: number): string {
  const { layouts, input } = site;
  const [rows, columns] = tileCounts(site);
  const indices: number[] = [];
  for (let position = 0; position < PATCH * PATCH; position++) {
    for (let tile = 0; tile < rows * columns; tile++) {
      const row = Math.floor(tile / columns) * TILE + Math.floor(position / PATCH) - 1;
      const column = (tile % columns) * TILE + (position % PATCH) - 1;
      const inside = row >= 0 && column >= 0 && row < input.height && column < input.width;
      indices.push(inside ? row * input.width + column : input.height * input.width);
    }
  }
  const gathered = gatherPixels(site, value, channels, input.height * input.width, indices);
  const { builder, batchSize } = layouts;
  return builder.op('Reshape', [gathered, builder.ints(channels, PATCH * PATCH, rows * columns * batchSize)]);
}

/** Transformed patches of the input: shared by the forward pass and the weight gradient. */
export function transformedInput(site: ConvSite, inputPatches: string): string {
  return transform(site, kronecker(inputTransform), inputPatches);
}

/** [1, outC, pixels·batch] from the transformed input. */
export function convolveWinograd(site: ConvSite, weight: string, input: string): string {
  return product(site, weight, input, false);
}

/** dL/dx [1, inC, pixels·batch]: a convolution with the flipped weight. */
export function inputGradientWinograd(site: ConvSite, weight: string, gradientPatches: string): string {
  return product(site, weight, transform(site, kronecker(inputTransform), gradientPatches), true);
}

/**
 * dL/dW [outC, inC, 3, 3].
 * @param input see {@link transformedInput}
 * @param gradientPatches of dY; the tile itself lies in the middle of each
 */
export function weightGradientWinograd(site: ConvSite, input: string, gradientPatches: string): string {
  const { conv, layouts } = site;
  const { builder } = layouts;
  const { outChannels, inChannels } = conv;
  const middle = transpose(outputTransform).map((row) => [0, ...row, 0]);
  const gradients = transform(site, kronecker(middle), gradientPatches);
  const products = builder.op('com.microsoft:FusedMatMul', [gradients, input], {
    transBatchA: 1,
    transBatchB: 1,
    transB: 1,
  });
  const flat = builder.op('Reshape', [products, builder.ints(PATCH * PATCH, outChannels * inChannels)]);
  const taps = builder.op('com.microsoft:FusedMatMul', [flat, matrix(site, kronecker(weightTransform))], {
    transA: 1,
  });
  return builder.op('Reshape', [taps, builder.ints(outChannels, inChannels, 3, 3)]);
}

/** @param backwards with the flipped weight and its channel axes exchanged */
function product(site: ConvSite, weight: string, input: string, backwards: boolean): string {
  const { conv, layouts } = site;
  const { builder, batchSize } = layouts;
  const channels = backwards ? conv.inChannels : conv.outChannels;
  const taps = kronecker(weightTransform).map((row) => (backwards ? row.toReversed() : row));
  const perFilter = builder.op('Reshape', [weight, builder.ints(conv.outChannels * conv.inChannels, 9)]);
  const transformed = builder.op('Reshape', [
    builder.op('com.microsoft:FusedMatMul', [matrix(site, taps), perFilter], { transB: 1 }),
    builder.ints(PATCH * PATCH, conv.outChannels, conv.inChannels),
  ]);
  const products = builder.op('com.microsoft:FusedMatMul', [transformed, input], {
    transBatchB: 1,
    ...(backwards ? { transA: 1 } : {}),
  });
  const back = kronecker(outputTransform);
  // [1, 16, 36] times, for each channel, [36, tiles·batch]
  const tiles = builder.op(
    'com.microsoft:FusedMatMul',
    [builder.op('Reshape', [matrix(site, back), builder.ints(1, back.length, PATCH * PATCH)]), products],
    { transBatchB: 1 },
  );
  const [rows, columns] = tileCounts(site);
  const { height, width } = site.input;
  const indices: number[] = [];
  for (let pixel = 0; pixel < height * width; pixel++) {
    const [row, column] = [Math.floor(pixel / width), pixel % width];
    const tile = Math.floor(row / TILE) * columns + Math.floor(column / TILE);
    indices.push(((row % TILE) * TILE + (column % TILE)) * rows * columns + tile);
  }
  const pixels = gatherPixels(site, tiles, channels, TILE * TILE * rows * columns, indices);
  return builder.op('Reshape', [pixels, builder.ints(1, channels, height * width * batchSize)]);
}

/** A matrix [m, 36] times every channel of [channels, 36, tiles·batch]. */
function transform(site: ConvSite, rows: readonly number[][], value: string): string {
  return site.layouts.builder.op('com.microsoft:FusedMatMul', [matrix(site, rows), value]);
}

function matrix({ layouts }: ConvSite, rows: readonly number[][]): string {
  return layouts.builder.shared(`matrix:${rows.join(';')}`, () => [
    Float32Array.from(rows.flat()),
    [rows.length, rows[0].length],
  ]);
}

function tileCounts({ input }: ConvSite): [number, number] {
  return [Math.ceil(input.height / TILE), Math.ceil(input.width / TILE)];
}

/** The two-dimensional transform of a one-dimensional one. */
const kronecker = (a: readonly number[][]): number[][] =>
  a.flatMap((top) => a.map((left) => top.flatMap((x) => left.map((y) => x * y))));

const transpose = (a: readonly number[][]): number[][] =>
  a[0].map((_, column) => a.map((row) => row[column]));
