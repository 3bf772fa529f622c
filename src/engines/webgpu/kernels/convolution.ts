/**
 * @file The three products of a convolution as implicit matrix products: no unrolled image is ever in memory.
 *
 * Feature maps are [pixels, channels] with pixels = batch · height · width, weights [taps · inChannels, outChannels]
 * with the tap kh · kernel + kw outermost; both pad channels to a multiple of four with zeros. "Quads" count groups of
 * four channels. Inputs are float32, or levels packed four to a word, whose step the caller gives as `inputStep`. Weights
 * are levels, whose value per output channel is in `scales`, or float32 with scales of 1.
 *
 * On matrix units both operands are float16. Levels are exact in it, and so are their sums in float32 up to 2^24 (4 bits:
 * at most 15 · 7 · 4,608): the forward pass loses nothing. Gradients are scaled by a power of two so that the largest of
 * the tensor lies in [2^13, 2^14): those within a factor 2^-27 of it keep 11 bits, those beyond 2^-38 vanish.
 */
import { type BufferType, defineKernel, type Kernel, type ScalarType } from '../kernel.js';
import { gemm } from './gemm.js';
import { type MatrixTile, type MatrixUnits, matrixExtensions, matrixGemm } from './matrixGemm.js';
import { type Product, quotientFunction, type Tile } from './product.js';

export type FeatureFormat = 'float' | 'levels';

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
  | { readonly kind: 'matrix'; readonly tile: MatrixTile; readonly units: MatrixUnits };

export interface ConvVariant {
  readonly path: ProductPath;
  /** Kernel 1, stride 1: rows of input and output correspond, nothing to gather. */
  readonly dense: boolean;
  readonly input: FeatureFormat;
}

function productKernel<P extends string, B extends string>(
  path: ProductPath,
  kernel: { label: string; params: Record<P, ScalarType>; buffers: Record<B, BufferType> },
  product: Product,
): Kernel<P, B> {
  return path.kind === 'float'
    ? defineKernel({ ...kernel, body: gemm(product, path.tile) })
    : defineKernel({
        ...kernel,
        extensions: matrixExtensions,
        body: matrixGemm(product, path.tile, path.units),
      });
}

const loadInput = (format: FeatureFormat): string => `
fn loadInput(i: u32) -> vec4f {
  return ${format === 'levels' ? 'vec4f(unpack4xU8(x[i]))' : 'x[i]'};
}`;

const inputBuffer = (format: FeatureFormat) => (format === 'levels' ? 'read u32' : 'read vec4f');
const weightBuffer = ({ kind }: ProductPath) => (kind === 'matrix' ? 'read vec4<f16>' : 'read vec4f');

/** WGSL: splits \`pixel\` of an image of the given size into \`image\`, \`y\` and \`x0\`. */
const splitPixel = (height: string, width: string): string => `
  let image = quotient(pixel, ${height} * ${width});
  let within = pixel - image * ${height} * ${width};
  let y = quotient(within, ${width});
  let x0 = within - y * ${width};`;

/** WGSL: columns are quads of a matrix with \`quads\` of them. */
const quadColumns = (quads: string): string => `
alias Column = u32;
fn columnOf(column: u32, split: u32) -> Column { return column / 4u; }
fn isColumn(quad: Column) -> bool { return quad < ${quads}; }`;

/**
 * y[pixel, outC] = inputStep · scales[outC] · Σ x[gathered pixel, inC] · w[tap · inC, outC]
 * Grid: tiles of output pixels × tiles of output channels.
 */
export function forwardKernel(
  variant: ConvVariant,
): Kernel<keyof typeof GEOMETRY | 'inputStep', 'x' | 'w' | 'scales' | 'y'> {
  const { path, dense, input } = variant;
  const product: Product = {
    functions: `${quotientFunction}
${loadInput(input)}
fn outPixels() -> u32 { return params.batch * params.outHeight * params.outWidth; }
fn innerQuads() -> u32 { return params.kernel * params.kernel * params.inQuads; }
${dense ? denseRows('outPixels()', 'params.inQuads') : gatheredRows}
fn leftQuad(row: Row, inner: u32) -> vec4f {
  let quad = inner / 4u;
  if (!row.exists || quad >= innerQuads()) { return vec4f(); }
${
  dense
    ? '  return loadInput(row.start + quad);'
    : `  let tap = quotient(quad, params.inQuads);
  let tapY = quotient(tap, params.kernel);
  let inY = row.y + i32(tapY);
  let inX = row.x + i32(tap - tapY * params.kernel);
  if (inY < 0 || inX < 0 || inY >= i32(params.inHeight) || inX >= i32(params.inWidth)) { return vec4f(); }
  let source = row.start + u32(inY) * params.inWidth + u32(inX);
  return loadInput(source * params.inQuads + quad - tap * params.inQuads);`
}
}
${quadColumns('params.outQuads')}
fn rightQuad(inner: u32, column: Column) -> vec4f {
  if (!isColumn(column) || inner >= 4u * innerQuads()) { return vec4f(); }
  return vec4f(w[inner * params.outQuads + column]);
}
fn storeQuad(pixel: u32, column: u32, split: u32, value: vec4f) {
  let quad = column / 4u;
  if (pixel >= outPixels() || quad >= params.outQuads) { return; }
  y[pixel * params.outQuads + quad] = value * params.inputStep * scales[quad];
}`,
    leftAlong: 'inner',
    rightAlong: 'columns',
    innerStart: '0u',
    innerEnd: '4u * innerQuads()',
  };
  const kernel = {
    label: 'convolution',
    params: { ...GEOMETRY, inputStep: 'f32' },
    buffers: {
      x: inputBuffer(input),
      w: weightBuffer(path),
      scales: 'read vec4f',
      y: 'read_write vec4f',
    },
  } as const;
  return productKernel(path, kernel, product);
}

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
fn leftQuad(row: Row, inner: u32) -> vec4f {
  let quad = inner / 4u;
  if (!row.exists || quad >= row.quads) { return vec4f(); }
  let tap = quotient(quad, params.outQuads);
  let tapY = quotient(tap, row.tapsX);
  let outY = row.y - i32(tapY);
  let outX = row.x - i32(tap - tapY * row.tapsX);
  if (outY < 0 || outX < 0 || outY >= i32(params.outHeight) || outX >= i32(params.outWidth)) { return vec4f(); }
  let pixel = row.start + u32(outY) * params.outWidth + u32(outX);
  return scaledGradient(pixel, quad - tap * params.outQuads);
}
struct Column { index: u32, first: u32, tapsX: u32, quads: u32 }
fn columnOf(column: u32, split: u32) -> Column {
  let phase = phaseOf(split);
  return Column(column, phase.firstY * params.kernel + phase.firstX, phase.tapsX, innerQuads(split));
}
fn rightQuad(inner: u32, column: Column) -> vec4f {
  let quad = inner / 4u;
  if (column.index >= 4u * params.inQuads || quad >= column.quads) { return vec4f(); }
  let phaseTap = quotient(quad, params.outQuads);
  let tapY = quotient(phaseTap, column.tapsX);
  let tap = column.first + params.stride * (tapY * params.kernel + phaseTap - tapY * column.tapsX);
  let row = tap * 4u * params.inQuads + column.index;
  return vec4f(w[row * params.outQuads + quad - phaseTap * params.outQuads]);
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
${denseRows('inPixels()', '1u')}
fn leftQuad(row: Row, inner: u32) -> vec4f {
  let quad = inner / 4u;
  if (!row.exists || quad >= params.outQuads) { return vec4f(); }
  return scaledGradient(row.start, quad);
}
alias Column = u32;
fn columnOf(column: u32, split: u32) -> Column { return column; }
fn rightQuad(inner: u32, column: Column) -> vec4f {
  let quad = inner / 4u;
  if (column >= 4u * params.inQuads || quad >= params.outQuads) { return vec4f(); }
  return vec4f(w[column * params.outQuads + quad]);
}
fn storeQuad(pixel: u32, column: u32, split: u32, value: vec4f) {
  if (pixel < inPixels()) { storeAt(pixel, column / 4u, value); }
}`;

/**
 * dx[pixel, inC] = Σ dy[pixels that read it, outC] · scales[outC] · w[tap · inC, outC]
 * Grid: tiles of input pixels × tiles of input channels × phases ({@link inputPhases}; one where dense).
 * `largestScale`, the largest of the scales, keeps their product with dy in float16's range.
 */
export function inputGradientKernel(
  variant: Pick<ConvVariant, 'path' | 'dense'>,
): Kernel<keyof typeof GEOMETRY | 'largestScale' | 'rangeIndex'> {
  const { path, dense } = variant;
  const product: Product = {
    functions: `${quotientFunction}
${gradientScale(path)}
fn scaledGradient(pixel: u32, quad: u32) -> vec4f {
  return dy[pixel * params.outQuads + quad] * (scales[quad] * (gradientScale() / params.largestScale));
}
fn storeAt(pixel: u32, quad: u32, value: vec4f) {
  if (quad >= params.inQuads) { return; }
  dx[pixel * params.inQuads + quad] = value * (params.largestScale / gradientScale());
}
${dense ? denseGradientRows : phasedRows}`,
    leftAlong: 'inner',
    rightAlong: 'inner',
    innerStart: '0u',
    innerEnd: '4u * innerQuads(split)',
  };
  const buffers: Record<string, BufferType> = {
    dy: 'read vec4f',
    w: weightBuffer(path),
    scales: 'read vec4f',
    dx: 'read_write vec4f',
    ...rangeBuffer(path),
  };
  const params = { ...GEOMETRY, largestScale: 'f32', ...RANGE } as const;
  return productKernel(path, { label: 'input gradient', params, buffers }, product);
}

/**
 * dw[split, tap · inC, outC] = inputStep · Σ over the split's output pixels of x[gathered pixel, inC] · dy[pixel, outC]
 * Grid: tiles of weight rows × tiles of output channels × splits. Splits start at multiples of MAX_DEPTH; sumSplitsKernel
 * adds them up.
 */
export function weightGradientKernel(
  variant: ConvVariant,
): Kernel<keyof typeof GEOMETRY | 'inputStep' | 'pixelsPerSplit' | 'rangeIndex'> {
  const { path, dense, input } = variant;
  const product: Product = {
    functions: `${quotientFunction}
${gradientScale(path)}
${loadInput(input)}
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
fn leftQuad(row: Row, pixel: u32) -> vec4f {
  if (!row.exists || pixel >= outPixels()) { return vec4f(); }
${
  dense
    ? '  return loadInput(pixel * params.inQuads + row.quad);'
    : `${splitPixel('params.outHeight', 'params.outWidth')}
  let inY = i32(y * params.stride) + row.tapY;
  let inX = i32(x0 * params.stride) + row.tapX;
  if (inY < 0 || inX < 0 || inY >= i32(params.inHeight) || inX >= i32(params.inWidth)) { return vec4f(); }
  let source = (image * params.inHeight + u32(inY)) * params.inWidth + u32(inX);
  return loadInput(source * params.inQuads + row.quad);`
}
}
${quadColumns('params.outQuads')}
fn rightQuad(pixel: u32, column: Column) -> vec4f {
  if (!isColumn(column) || pixel >= outPixels()) { return vec4f(); }
  return dy[pixel * params.outQuads + column] * gradientScale();
}
fn storeQuad(row: u32, column: u32, split: u32, value: vec4f) {
  let quad = column / 4u;
  let rows = 4u * rowQuads();
  if (row >= rows || quad >= params.outQuads) { return; }
  dw[(split * rows + row) * params.outQuads + quad] = value * (params.inputStep / gradientScale());
}`,
    leftAlong: 'rows',
    rightAlong: 'columns',
    innerStart: 'split * params.pixelsPerSplit',
    innerEnd: 'min(outPixels(), (split + 1u) * params.pixelsPerSplit)',
  };
  const buffers: Record<string, BufferType> = {
    x: inputBuffer(input),
    dy: 'read vec4f',
    dw: 'read_write vec4f',
    ...rangeBuffer(path),
  };
  const params = { ...GEOMETRY, inputStep: 'f32', pixelsPerSplit: 'u32', ...RANGE } as const;
  return productKernel(path, { label: 'weight gradient', params, buffers }, product);
}
