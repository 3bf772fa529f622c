/**
 * @file 3×3 convolutions by Winograd's minimal filtering in the merged layout (Lavin & Gray 2016). An output tile of 4×4
 * pixels costs 36 multiplications per pair of channels instead of 144, one of 3×3 pixels 25 instead of 81. The forward
 * pass, the input gradient and the weight gradient are 36 (25) matrix products each, one per position of the transformed
 * 6×6 (5×5) patches.
 */
import type { TensorShape } from './activations.js';
import type { ConvSite } from './convolution.js';
import { gatherPixels } from './im2col.js';
import { type Matrix, type TileSize, tileSizes, winogradTransforms } from './winogradTransforms.js';

/** Whether a convolution is computed this way: of stride 1, keeping the size of a map that is worth its tiles. */
export function isWinograd({ conv, layout, layouts, input }: ConvSite): boolean {
  const { kernel, stride, padding, inChannels, outChannels } = conv;
  if (layout !== 'merged' || kernel !== 3 || stride !== 1 || padding !== 1) return false;
  if (Math.min(inChannels, outChannels) < layouts.winogradChannels) return false;
  const direct = input.height * input.width * 9;
  return tiling(input).products * 2 < direct; // transforms cost as well
}

/** How a map is cut into tiles. */
export interface Tiling {
  readonly tile: TileSize;
  readonly rows: number;
  readonly columns: number;
  /** Multiplications per pair of channels. */
  readonly products: number;
}

/** The tiles of fewest multiplications; of two sizes with as many the smaller one, which has less to transform. */
export function tiling({ height, width }: Pick<TensorShape, 'height' | 'width'>): Tiling {
  const choices = tileSizes.map((tile) => {
    const [rows, columns] = [Math.ceil(height / tile), Math.ceil(width / tile)];
    return { tile, rows, columns, products: rows * columns * (tile + 2) ** 2 };
  });
  return choices.reduce((best, choice) => (choice.products < best.products ? choice : best));
}

/** The pixels around every tile of a map [1, channels, pixels·batch]: [channels, patch², tiles·batch]. */
export function patches(site: ConvSite, value: string, channels: number): string {
  const { layouts, input } = site;
  const { tile: size, rows, columns } = tiling(input);
  const side = size + 2;
  const indices: number[] = [];
  for (let position = 0; position < side * side; position++) {
    for (let tile = 0; tile < rows * columns; tile++) {
      const row = Math.floor(tile / columns) * size + Math.floor(position / side) - 1;
      const column = (tile % columns) * size + (position % side) - 1;
      const inside = row >= 0 && column >= 0 && row < input.height && column < input.width;
      indices.push(inside ? row * input.width + column : input.height * input.width);
    }
  }
  const gathered = gatherPixels(site, value, channels, input.height * input.width, indices);
  const { builder, batchSize } = layouts;
  return builder.op('Reshape', [gathered, builder.ints(channels, side * side, rows * columns * batchSize)]);
}

/** Transformed patches of the input: shared by the forward pass and the weight gradient. */
export function transformedInput(site: ConvSite, inputPatches: string): string {
  return transform(site, transforms(site).input, inputPatches);
}

/** [1, outC, pixels·batch] from the transformed input. */
export function convolveWinograd(site: ConvSite, weight: string, input: string): string {
  const products = site.layouts.builder.op(
    'com.microsoft:FusedMatMul',
    [transformedWeight(site, weight), input],
    { transBatchB: 1 },
  );
  return pixels(site, transforms(site).output, products, site.conv.outChannels);
}

/** dL/dx [1, inC, pixels·batch]: a convolution with the flipped weight. */
export function inputGradientWinograd(site: ConvSite, weight: string, gradientPatches: string): string {
  const flipped = transforms(site, true);
  const products = site.layouts.builder.op(
    'com.microsoft:FusedMatMul',
    [transformedWeight(site, weight), transform(site, flipped.input, gradientPatches)],
    { transA: 1, transBatchB: 1 },
  );
  return pixels(site, flipped.output, products, site.conv.inChannels);
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
  const { weight, outputGradient } = transforms(site);
  const gradients = transform(site, outputGradient, gradientPatches);
  const products = builder.op('com.microsoft:FusedMatMul', [gradients, input], {
    transBatchA: 1,
    transBatchB: 1,
    transB: 1,
  });
  const flat = builder.op('Reshape', [products, builder.ints(weight.length, outChannels * inChannels)]);
  const taps = builder.op('com.microsoft:FusedMatMul', [flat, matrix(site, weight)], { transA: 1 });
  return builder.op('Reshape', [taps, builder.ints(outChannels, inChannels, 3, 3)]);
}

/**
 * [patch², outC, inC]. The input gradient asks for the same nodes as the forward pass; ONNX Runtime computes them once,
 * since they are standard operators (it fuses them later), which its elimination of common subexpressions knows.
 */
function transformedWeight(site: ConvSite, weight: string): string {
  const { conv, layouts } = site;
  const { builder } = layouts;
  const rows = transforms(site).weight;
  const perFilter = builder.op('Reshape', [weight, builder.ints(conv.outChannels * conv.inChannels, 9)]);
  const turned = builder.op('Transpose', [perFilter], { perm: [1, 0] });
  const transformed = builder.op('MatMul', [matrix(site, rows), turned]);
  return builder.op('Reshape', [transformed, builder.ints(rows.length, conv.outChannels, conv.inChannels)]);
}

/** Tiles of the products [patch², channels, tiles·batch], put together to the map [1, channels, pixels·batch]. */
function pixels(site: ConvSite, output: Matrix, products: string, channels: number): string {
  const { builder, batchSize } = site.layouts;
  const { height, width } = site.input;
  const { tile: size, rows, columns } = tiling(site.input);
  const asBatch = builder.op('Reshape', [
    matrix(site, output),
    builder.ints(1, output.length, output[0].length),
  ]);
  // [1, tile², patch²] times, for each channel, [patch², tiles·batch]
  const tiles = builder.op('com.microsoft:FusedMatMul', [asBatch, products], { transBatchB: 1 });
  const indices: number[] = [];
  for (let pixel = 0; pixel < height * width; pixel++) {
    const [row, column] = [Math.floor(pixel / width), pixel % width];
    const tile = Math.floor(row / size) * columns + Math.floor(column / size);
    indices.push(((row % size) * size + (column % size)) * rows * columns + tile);
  }
  const inOrder = gatherPixels(site, tiles, channels, output.length * rows * columns, indices);
  return builder.op('Reshape', [inOrder, builder.ints(1, channels, height * width * batchSize)]);
}

/** A matrix [m, patch²] times every channel of [channels, patch², tiles·batch]. */
function transform(site: ConvSite, rows: Matrix, value: string): string {
  return site.layouts.builder.op('com.microsoft:FusedMatMul', [matrix(site, rows), value]);
}

function matrix({ layouts }: ConvSite, rows: Matrix): string {
  return layouts.builder.shared(`matrix:${rows.join(';')}`, () => [
    Float32Array.from(rows.flat()),
    [rows.length, rows[0].length],
  ]);
}

const transforms = ({ input }: ConvSite, flipped = false) => winogradTransforms(tiling(input).tile, flipped);
