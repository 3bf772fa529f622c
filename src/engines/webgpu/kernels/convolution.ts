/**
 * @file The three products of a convolution as implicit matrix products: no unrolled image is ever in memory.
 *
 * Feature maps are [pixels, channels] with pixels = batch · height · width; weights are [taps · inChannels, outChannels]
 * with the tap kh · kernel + kw outermost, or the other way round ("filters"); all pad channels to a multiple of four with
 * zeros. "Quads" count groups of four channels. Inputs and weights are levels or real values, and what is computed are
 * sums of their products as they are: what a level stands for is the business of whoever reads the sums (features.ts,
 * ConvolutionSums).
 *
 * On matrix units both operands are float16, or int8 in the forward pass. Levels are exact in both, and so are their sums
 * up to 2^24 (4 bits: at most 15 · 7 · 4,608): the products lose nothing. Gradients are scaled by a power of two so that
 * the largest of the tensor lies in [2^13, 2^14): those within a factor 2^-27 of it keep 11 bits, those beyond 2^-38
 * vanish.
 */
import { type BufferType, defineKernel, type ElementType, type Kernel, type ScalarType } from '../kernel.js';
import { type FeatureFormat, formats } from './formats.js';
import { FLOAT_ROWS, FLOAT_RUN, gemm } from './gemm.js';
import {
  type MatrixNumbers,
  type MatrixTile,
  type MatrixUnits,
  matrixExtensions,
  matrixGemm,
} from './matrixGemm.js';
import { type Epilogue, epilogueSource } from './pointwise.js';
import { type Operand, type Product, quotientFunction, runElement, type Tile } from './product.js';

/** Scalars that describe a convolution's geometry; "in" is its input's side, "out" its output's. */
export const GEOMETRY = {
  batch: 'u32',
  inHeight: 'u32',
  inWidth: 'u32',
  inQuads: 'u32',
  outHeight: 'u32',
  outWidth: 'u32',
  outQuads: 'u32',
  kernel: 'u32',
  stride: 'u32',
  padding: 'u32',
} as const satisfies Record<string, ScalarType>;
export type Geometry = Readonly<Record<keyof typeof GEOMETRY, number>>;

/** How a product is computed. */
export type ProductPath =
  | { readonly kind: 'float'; readonly tile: Tile }
  | {
      readonly kind: 'matrix';
      readonly tile: MatrixTile;
      readonly units: MatrixUnits;
      readonly numbers: MatrixNumbers;
    };

/** How weights lie in memory for a product: `rows` as [taps · inChannels, outChannels], `filters` the other way round. */
export interface WeightLayout {
  readonly order: 'rows' | 'filters';
  readonly type: 'f32' | 'f16' | 'i8';
}

/** Forward: matrix units want both operands along the inner dimension. */
export function forwardWeights(path: ProductPath): WeightLayout {
  if (path.kind === 'float') return { order: 'rows', type: 'f32' };
  return { order: 'filters', type: path.numbers === 'int8' ? 'i8' : 'f16' };
}

export function gradientWeights(onMatrixUnits: boolean) {
  return { order: 'rows', type: onMatrixUnits ? 'f16' : 'f32' } as const;
}

export interface ConvVariant {
  readonly path: ProductPath;
  /** Kernel 1, stride 1: rows of input and output correspond, nothing to gather. */
  readonly dense: boolean;
  /** Padded channels of input and output are multiples of these; 4, 8 or 16. */
  readonly inRun: number;
  readonly outRun: number;
  readonly input: FeatureFormat;
  readonly output: FeatureFormat;
  /** Of the gradient of the output. */
  readonly gradient: FeatureFormat;
  /** Of the gradient of the input. */
  readonly inputGradient: FeatureFormat;
}

/** What products read and write besides levels: in 32 bits, and in 16 with matrix units. */
export const wideFormats = { output: 'float32', gradient: 'float32', inputGradient: 'float32' } as const;
export const narrowFormats = { output: 'float16', gradient: 'bfloat16', inputGradient: 'bfloat16' } as const;

function productKernel<P extends string>(
  path: ProductPath,
  kernel: { label: string; params: Record<P, ScalarType>; buffers: Record<string, BufferType> },
  product: Product,
): Kernel<P, string> {
  const { left, right } = product;
  const define = (
    leftElement: ElementType,
    rightElement: ElementType,
    source: { body: string; extensions?: readonly string[] },
  ) => {
    const operands = {
      [left.buffer]: `read ${leftElement}`,
      [right.buffer]: `read ${rightElement}`,
    } as const;
    return defineKernel({ ...kernel, buffers: { ...operands, ...kernel.buffers }, ...source });
  };
  if (path.kind === 'float') {
    const element = ({ format }: Operand) => runElement(format, FLOAT_RUN);
    return define(element(left), element(right), { body: gemm(product, path.tile) });
  }
  const { body, leftElement, rightElement } = matrixGemm(product, path.tile, path.units, path.numbers);
  return define(leftElement, rightElement, { body, extensions: matrixExtensions });
}

const writes = (format: FeatureFormat) => `read_write ${formats[format].element}` as const;

/** Weights as an operand; integers are bytes that nothing converts. */
const weightFormats = { f32: 'float32', f16: 'float16', i8: 'levels' } as const;

/** WGSL: splits \`pixel\` of an image of the given size into \`image\`, \`y\` and \`x0\`. */
const splitPixel = (height: string, width: string): string => `
  let image = quotient(pixel, ${height} * ${width});
  let within = pixel - image * ${height} * ${width};
  let y = quotient(within, ${width});
  let x0 = within - y * ${width};`;

/**
 * y[pixel, outC] = factor · Σ x[gathered pixel, inC] · w[tap · inC, outC]; on matrix units with `statistics` also the sums
 * that statisticsSumsKernel computes, for chunks of the tile's `subgroupRows` pixels. With an epilogue y is not stored,
 * but what a group of element-wise layers makes of it.
 * Grid: {@link productGrid} of output pixels × output channels.
 */
export function forwardKernel(
  variant: Pick<ConvVariant, 'path' | 'dense' | 'inRun' | 'outRun' | 'input' | 'output'> & {
    statistics?: boolean;
    epilogue?: Epilogue;
  },
): Kernel<keyof typeof GEOMETRY | 'factor'> {
  const { path, dense, inRun, outRun, input, output, statistics = false, epilogue } = variant;
  const after = epilogue && epilogueSource(epilogue);
  const { order, type } = forwardWeights(path);
  const product: Product = {
    functions: `${quotientFunction}
fn outPixels() -> u32 { return params.batch * params.outHeight * params.outWidth; }
fn innerQuads() -> u32 { return params.kernel * params.kernel * params.inQuads; }
${dense ? denseRows('outPixels()', 'params.inQuads') : gatheredRows}
fn leftAt(row: Row, inner: u32) -> Place {
  let quad = inner / 4u;
${
  dense
    ? '  return Place(row.exists & (quad < params.inQuads), row.start + quad);'
    : `  let tap = quotient(quad, params.inQuads);
  let tapY = quotient(tap, params.kernel);
  let inY = u32(row.y + i32(tapY)); // what lies before the first line or column wraps to beyond the last
  let inX = u32(row.x + i32(tap - tapY * params.kernel));
  let isInside = (inY < params.inHeight) & (inX < params.inWidth);
  let source = row.start + inY * params.inWidth + inX;
  return Place(row.exists & isInside & (quad < innerQuads()), source * params.inQuads + quad - tap * params.inQuads);`
}
}
struct Column { exists: bool, start: u32 }
fn columnOf(column: u32, split: u32) -> Column {
  let exists = column < 4u * params.outQuads;
  return Column(exists, ${order === 'filters' ? 'column * innerQuads()' : 'column / 4u'});
}
fn rightAt(inner: u32, column: Column) -> Place {
  let exists = column.exists & (inner < 4u * innerQuads());
  return Place(exists, column.start + ${order === 'filters' ? 'inner / 4u' : 'inner * params.outQuads'});
}
fn storeQuad(pixel: u32, column: u32, split: u32, value: vec4f) {
  let quad = column / 4u;
  if (pixel >= outPixels() || quad >= params.outQuads) { return; }
  let i = pixel * params.outQuads + quad;
${after ? `  let product = value * params.factor;\n${after.body}` : `  y[i] = ${formats[output].store('value * params.factor')};`}
}
${statistics ? statisticsFunctions(output) : ''}`,
    statistics,
    left: { buffer: 'x', format: input, along: 'inner', run: inRun },
    right: {
      buffer: 'w',
      format: weightFormats[type],
      along: order === 'filters' ? 'inner' : 'side',
      run: order === 'filters' ? inRun : outRun,
    },
    columnCount: '4u * params.outQuads',
    innerStart: '0u',
    innerEnd: '4u * innerQuads()',
  };
  const params = { ...GEOMETRY, factor: 'f32', ...after?.params } as const;
  const buffers: Record<string, BufferType> = after?.buffers ?? { y: writes(output) };
  if (statistics) buffers.sums = 'read_write vec4f';
  return productKernel(path, { label: 'convolution', params, buffers }, product);
}

const statisticsFunctions = (output: FeatureFormat): string => `
fn rowCount() -> u32 { return outPixels(); }
fn storedValue(value: vec4f) -> vec4f {
  return ${formats[output].load(formats[output].store('(value * params.factor)'))};
}
fn storeStatistics(chunk: u32, column: u32, mean: vec4f, squares: vec4f) {
  if (column >= 4u * params.outQuads) { return; }
  let at = 2u * (chunk * params.outQuads + column / 4u);
  sums[at] = mean;
  sums[at + 1u] = squares;
}`;

/** WGSL: rows are pixels of a map with \`quads\` quads each, read as they lie. */
const denseRows = (pixels: string, quads: string): string => `
struct Row { exists: bool, start: u32 }
fn rowOf(pixel: u32, split: u32) -> Row { return Row(pixel < ${pixels}, pixel * ${quads}); }`;

/** WGSL: rows are output pixels: where their windows start, and the first pixel of their image. */
const gatheredRows = `
struct Row { exists: bool, start: u32, y: i32, x: i32 }
fn rowOf(pixel: u32, split: u32) -> Row {
${splitPixel('params.outHeight', 'params.outWidth')}
  return Row(
    pixel < outPixels(),
    image * params.inHeight * params.inWidth,
    i32(y * params.stride) - i32(params.padding),
    i32(x0 * params.stride) - i32(params.padding),
  );
}`;

/** WGSL: the power of two by which gradients are scaled, from the bits of the largest magnitude. */
const gradientScale = ({ kind }: ProductPath): string =>
  kind === 'float'
    ? 'fn gradientScale() -> f32 { return 1.0; }'
    : `
fn gradientScale() -> f32 {
  let bits = range[params.rangeIndex];
  if (bits == 0u) { return 1.0; }
  return ldexp(1.0, clamp(13 + 127 - i32(bits >> 23u), -100, 100));
}`;

/** Of kernels that read gradients in float16. */
const rangeBuffer = ({ kind }: ProductPath): Record<string, BufferType> =>
  kind === 'matrix' ? { range: 'read u32' } : {};
const RANGE = { rangeIndex: 'u32' } as const satisfies Record<string, ScalarType>;

/** Phases of a strided convolution's input gradient, and pixels of one image that have the same phase. */
export function inputPhases({ stride, inHeight, inWidth }: Geometry): { phases: number; pixels: number } {
  const pixels = Math.ceil(inHeight / stride) * Math.ceil(inWidth / stride);
  return { phases: stride ** 2, pixels };
}

/**
 * WGSL: input pixels by phase, their position modulo the stride. Only taps first, first + stride, … reach a pixel of a
 * phase, so that a strided convolution costs no more than its forward pass. Rows are the pixels of the phase \`split\`.
 */
const phasedRows = `
struct Phase { y: u32, x: u32, firstY: u32, firstX: u32, tapsY: u32, tapsX: u32 }
fn tapsFrom(first: u32) -> u32 {
  return select(0u, (params.kernel - first + params.stride - 1u) / params.stride, first < params.kernel);
}
fn phaseOf(split: u32) -> Phase {
  let y = split / params.stride;
  let x = split % params.stride;
  let firstY = (y + params.padding) % params.stride;
  let firstX = (x + params.padding) % params.stride;
  return Phase(y, x, firstY, firstX, tapsFrom(firstY), tapsFrom(firstX));
}
fn innerQuads(split: u32) -> u32 {
  let phase = phaseOf(split);
  return phase.tapsY * phase.tapsX * params.outQuads;
}
struct Position { exists: bool, image: u32, y: u32, x: u32 }
fn positionOf(row: u32, split: u32) -> Position {
  let width = (params.inWidth + params.stride - 1u) / params.stride;
  let height = (params.inHeight + params.stride - 1u) / params.stride;
  let image = quotient(row, width * height);
  let within = row - image * width * height;
  let line = quotient(within, width);
  let y = line * params.stride + split / params.stride;
  let x = (within - line * width) * params.stride + split % params.stride;
  return Position(image < params.batch && y < params.inHeight && x < params.inWidth, image, y, x);
}
/** y and x: the output pixel that reads the input pixel with the phase's first tap; later taps count down from it. */
struct Row { exists: bool, start: u32, y: i32, x: i32, tapsX: u32, quads: u32 }
fn rowOf(row: u32, split: u32) -> Row {
  let position = positionOf(row, split);
  let phase = phaseOf(split);
  return Row(
    position.exists,
    position.image * params.outHeight * params.outWidth,
    (i32(position.y + params.padding) - i32(phase.firstY)) / i32(params.stride),
    (i32(position.x + params.padding) - i32(phase.firstX)) / i32(params.stride),
    phase.tapsX,
    innerQuads(split),
  );
}
fn leftAt(row: Row, inner: u32) -> Place {
  let quad = inner / 4u;
  let tap = quotient(quad, params.outQuads);
  let tapY = quotient(tap, row.tapsX);
  let outY = u32(row.y - i32(tapY)); // negative ones wrap to beyond the last
  let outX = u32(row.x - i32(tap - tapY * row.tapsX));
  let isInside = (outY < params.outHeight) & (outX < params.outWidth);
  let pixel = row.start + outY * params.outWidth + outX;
  return Place(row.exists & isInside & (quad < row.quads), pixel * params.outQuads + quad - tap * params.outQuads);
}
struct Column { index: u32, first: u32, tapsX: u32, quads: u32 }
fn columnOf(column: u32, split: u32) -> Column {
  let phase = phaseOf(split);
  return Column(column, phase.firstY * params.kernel + phase.firstX, phase.tapsX, innerQuads(split));
}
fn rightAt(inner: u32, column: Column) -> Place {
  let quad = inner / 4u;
  let exists = (column.index < 4u * params.inQuads) & (quad < column.quads);
  let phaseTap = quotient(quad, params.outQuads);
  let tapY = quotient(phaseTap, column.tapsX);
  let tap = column.first + params.stride * (tapY * params.kernel + phaseTap - tapY * column.tapsX);
  let row = tap * 4u * params.inQuads + column.index;
  return Place(exists, row * params.outQuads + quad - phaseTap * params.outQuads);
}
fn storeQuad(row: u32, column: u32, split: u32, value: vec4f) {
  let position = positionOf(row, split);
  if (!position.exists) { return; }
  storeAt((position.image * params.inHeight + position.y) * params.inWidth + position.x, column / 4u, value);
}`;

/** WGSL: the same where input and output pixels correspond one to one. */
const denseGradientRows = `
fn inPixels() -> u32 { return params.batch * params.inHeight * params.inWidth; }
fn innerQuads(split: u32) -> u32 { return params.outQuads; }
${denseRows('inPixels()', 'params.outQuads')}
fn leftAt(row: Row, inner: u32) -> Place {
  let quad = inner / 4u;
  return Place(row.exists & (quad < params.outQuads), row.start + quad);
}
alias Column = u32;
fn columnOf(column: u32, split: u32) -> Column { return column; }
fn rightAt(inner: u32, column: Column) -> Place {
  let quad = inner / 4u;
  let exists = (column < 4u * params.inQuads) & (quad < params.outQuads);
  return Place(exists, column * params.outQuads + quad);
}
fn storeQuad(pixel: u32, column: u32, split: u32, value: vec4f) {
  if (pixel < inPixels()) { storeAt(pixel, column / 4u, value); }
}`;

/**
 * dx[pixel, inC] = factor · Σ dy[pixels that read it, outC] · w[tap · inC, outC]
 * Grid: {@link productGrid} of input pixels × input channels, splits are phases ({@link inputPhases}; one where dense).
 */
export function inputGradientKernel(
  variant: Pick<ConvVariant, 'path' | 'dense' | 'outRun' | 'gradient' | 'inputGradient'>,
): Kernel<keyof typeof GEOMETRY | 'factor' | 'rangeIndex'> {
  const { path, dense, outRun, gradient, inputGradient } = variant;
  const { type } = gradientWeights(path.kind === 'matrix');
  const product: Product = {
    functions: `${quotientFunction}
${gradientScale(path)}
fn storeAt(pixel: u32, quad: u32, value: vec4f) {
  if (quad >= params.inQuads) { return; }
  dx[pixel * params.inQuads + quad] = ${formats[inputGradient].store('value * (params.factor / gradientScale())')};
}
${dense ? denseGradientRows : phasedRows}`,
    left: { buffer: 'dy', format: gradient, along: 'inner', run: outRun, scale: 'gradientScale()' },
    right: { buffer: 'w', format: weightFormats[type], along: 'inner', run: outRun },
    columnCount: '4u * params.inQuads',
    innerStart: '0u',
    innerEnd: '4u * innerQuads(split)',
  };
  const buffers = { dx: writes(inputGradient), ...rangeBuffer(path) };
  const params = { ...GEOMETRY, factor: 'f32', ...RANGE } as const;
  return productKernel(path, { label: 'input gradient', params, buffers }, product);
}

/** The most rows of a weight gradient that can be added up on their way, where they count in multiples of `multiples`. */
export function rowsPerSumOf(path: ProductPath, multiples: readonly number[]): number {
  const mostRows = path.kind === 'matrix' ? path.units.rows : FLOAT_ROWS;
  const divides = (rows: number) => [...multiples, mostRows].every((count) => count % rows === 0);
  let rows = 1;
  while (divides(2 * rows)) rows *= 2;
  return rows;
}

/**
 * dw[split, tap · inC, outC] = factor · Σ over the split's output pixels of x[gathered pixel, inC] · dy[pixel, outC]; with
 * `rowsPerSum` beyond 1, times the weights in `frozen` and so many rows added up: a mask bit's gradient needs no more.
 * Grid: {@link productGrid} of weight rows × output channels. Splits start at multiples of MAX_DEPTH; the update adds them up.
 */
export function weightGradientKernel(
  variant: Pick<ConvVariant, 'path' | 'dense' | 'inRun' | 'outRun' | 'input' | 'gradient'> & {
    /** See {@link rowsPerSumOf}. */
    rowsPerSum?: number;
  },
): Kernel<keyof typeof GEOMETRY | 'factor' | 'pixelsPerSplit' | 'rangeIndex'> {
  const { path, dense, inRun, outRun, input, gradient, rowsPerSum = 1 } = variant;
  const isSummed = rowsPerSum > 1;
  const product: Product = {
    functions: `${quotientFunction}
${gradientScale(path)}
fn outPixels() -> u32 { return params.batch * params.outHeight * params.outWidth; }
fn rowQuads() -> u32 { return params.kernel * params.kernel * params.inQuads; }
struct Row { exists: bool, quad: u32, tapY: i32, tapX: i32 }
fn rowOf(row: u32, split: u32) -> Row {
  let tap = quotient(row / 4u, params.inQuads);
  let tapY = quotient(tap, params.kernel);
  return Row(
    row / 4u < rowQuads(),
    row / 4u - tap * params.inQuads,
    i32(tapY) - i32(params.padding),
    i32(tap - tapY * params.kernel) - i32(params.padding),
  );
}
fn leftAt(row: Row, pixel: u32) -> Place {
${
  dense
    ? '  return Place(row.exists & (pixel < outPixels()), pixel * params.inQuads + row.quad);'
    : `${splitPixel('params.outHeight', 'params.outWidth')}
  let inY = u32(i32(y * params.stride) + row.tapY); // negative ones wrap to beyond the last
  let inX = u32(i32(x0 * params.stride) + row.tapX);
  let isInside = (inY < params.inHeight) & (inX < params.inWidth);
  let source = (image * params.inHeight + inY) * params.inWidth + inX;
  return Place(row.exists & isInside & (pixel < outPixels()), source * params.inQuads + row.quad);`
}
}
alias Column = u32;
fn columnOf(column: u32, split: u32) -> Column { return column / 4u; }
fn rightAt(pixel: u32, quad: Column) -> Place {
  return Place((quad < params.outQuads) & (pixel < outPixels()), pixel * params.outQuads + quad);
}
fn storeQuad(row: u32, column: u32, split: u32, value: vec4f) {
  let quad = column / 4u;
  let rows = 4u * rowQuads() / ${rowsPerSum}u;
  let stored = row / ${rowsPerSum}u;
  if (stored >= rows || quad >= params.outQuads) { return; }
  dw[(split * rows + stored) * params.outQuads + quad] = value * (params.factor / gradientScale());
}
${isSummed ? weightedRow : ''}`,
    rowsPerSum: isSummed ? rowsPerSum : undefined,
    left: { buffer: 'x', format: input, along: 'side', run: inRun },
    right: { buffer: 'dy', format: gradient, along: 'side', run: outRun, scale: 'gradientScale()' },
    columnCount: '4u * params.outQuads',
    innerStart: 'split * params.pixelsPerSplit',
    innerEnd: 'min(outPixels(), (split + 1u) * params.pixelsPerSplit)',
  };
  const buffers: Record<string, BufferType> = { dw: 'read_write vec4f', ...rangeBuffer(path) };
  if (isSummed) buffers.frozen = `read ${formats[path.kind === 'matrix' ? 'float16' : 'float32'].element}`;
  const params = { ...GEOMETRY, factor: 'f32', pixelsPerSplit: 'u32', ...RANGE } as const;
  return productKernel(path, { label: 'weight gradient', params, buffers }, product);
}

/** WGSL: beyond the last row or column there is no weight, and the value is 0. */
const weightedRow = `
fn weighted(row: u32, column: u32, value: vec4f) -> vec4f {
  let isInside = (row < 4u * rowQuads()) & (column < 4u * params.outQuads);
  return vec4f(frozen[select(0u, row * params.outQuads + column / 4u, isInside)]) * value;
}`;
