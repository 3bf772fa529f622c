/**
 * @file The three products of a convolution as implicit matrix products: no unrolled image is ever in memory.
 *
 * Feature maps are [pixels, channels] with pixels = batch · height · width, weights [taps · inChannels, outChannels]
 * with the tap kh · kernel + kw outermost; both pad channels to a multiple of four with zeros. "Quads" count groups of
 * four channels. Inputs are float32, or levels packed four to a word, whose step the caller gives as `inputStep`. Weights
 * are levels, whose value per output channel is in `scales`, or float32 with scales of 1.
 *
 * On matrix units both operands are float16. Levels are exact in it, and so are their sums in float32: the forward pass
 * loses nothing. Gradients are scaled by a power of two so that the largest of the tensor lies in [2^13, 2^14): those
 * within a factor 2^-27 of it keep 11 bits, those beyond 2^-38 vanish.
 */
import { type BufferType, defineKernel, type Kernel, type ScalarType } from '../kernel.js';
import { gemm } from './gemm.js';
import { type MatrixTile, type MatrixUnits, matrixExtensions, matrixGemm } from './matrixGemm.js';
import type { Product, Tile } from './product.js';

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

/** WGSL: splits \`pixel\` of an image of the given size into image, y and x. */
const splitPixel = (height: string, width: string): string => `
  let image = pixel / (${height} * ${width});
  let within = pixel % (${height} * ${width});
  let y = within / ${width};
  let x0 = within % ${width};`;

/**
 * y[pixel, outC] = inputStep · scales[outC] · Σ x[gathered pixel, inC] · w[tap · inC, outC]
 * Grid: tiles of output pixels × tiles of output channels.
 */
export function forwardKernel(
  variant: ConvVariant,
): Kernel<keyof typeof GEOMETRY | 'inputStep', 'x' | 'w' | 'scales' | 'y'> {
  const { path, dense, input } = variant;
  const gather = dense
    ? 'return loadInput(pixel * params.inQuads + quad);'
    : `${splitPixel('params.outHeight', 'params.outWidth')}
  let tap = quad / params.inQuads;
  let inY = i32(y * params.stride + tap / params.kernel) - i32(params.padding);
  let inX = i32(x0 * params.stride + tap % params.kernel) - i32(params.padding);
  if (inY < 0 || inX < 0 || inY >= i32(params.inHeight) || inX >= i32(params.inWidth)) { return vec4f(); }
  let source = (image * params.inHeight + u32(inY)) * params.inWidth + u32(inX);
  return loadInput(source * params.inQuads + quad % params.inQuads);`;
  const product: Product = {
    functions: `${loadInput(input)}
fn outPixels() -> u32 { return params.batch * params.outHeight * params.outWidth; }
fn innerQuads() -> u32 { return params.kernel * params.kernel * params.inQuads; }
fn leftQuad(pixel: u32, inner: u32) -> vec4f {
  let quad = inner / 4u;
  if (pixel >= outPixels() || quad >= innerQuads()) { return vec4f(); }
${gather}
}
fn rightQuad(inner: u32, column: u32) -> vec4f {
  let quad = column / 4u;
  if (quad >= params.outQuads || inner >= 4u * innerQuads()) { return vec4f(); }
  return vec4f(w[inner * params.outQuads + quad]);
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

/**
 * dx[pixel, inC] = Σ dy[pixels that read it, outC] · scales[outC] · w[tap · inC, outC]
 * Grid: tiles of input pixels × tiles of input channels.
 * @param variant.path on matrix units `largestScale`, the largest of the scales, keeps their product with dy in range
 */
export function inputGradientKernel(
  variant: Pick<ConvVariant, 'path' | 'dense'>,
): Kernel<keyof typeof GEOMETRY | 'largestScale' | 'rangeIndex'> {
  const { path, dense } = variant;
  const gather = dense
    ? 'let source = pixel;'
    : `${splitPixel('params.inHeight', 'params.inWidth')}
  let tap = quad / params.outQuads;
  let strideY = i32(y + params.padding) - i32(tap / params.kernel);
  let strideX = i32(x0 + params.padding) - i32(tap % params.kernel);
  if (strideY < 0 || strideX < 0) { return vec4f(); }
  let outY = u32(strideY) / params.stride;
  let outX = u32(strideX) / params.stride;
  let isOnGrid = outY * params.stride == u32(strideY) && outX * params.stride == u32(strideX);
  if (!isOnGrid || outY >= params.outHeight || outX >= params.outWidth) { return vec4f(); }
  let source = (image * params.outHeight + outY) * params.outWidth + outX;`;
  const product: Product = {
    functions: `${gradientScale(path)}
fn inPixels() -> u32 { return params.batch * params.inHeight * params.inWidth; }
fn innerQuads() -> u32 { return params.kernel * params.kernel * params.outQuads; }
fn leftQuad(pixel: u32, inner: u32) -> vec4f {
  let quad = inner / 4u;
  if (pixel >= inPixels() || quad >= innerQuads()) { return vec4f(); }
${gather}
  let outQuad = quad % params.outQuads;
  return dy[source * params.outQuads + outQuad] * (scales[outQuad] * (gradientScale() / params.largestScale));
}
fn rightQuad(inner: u32, column: u32) -> vec4f {
  let quad = inner / 4u;
  if (column >= 4u * params.inQuads || quad >= innerQuads()) { return vec4f(); }
  let row = (quad / params.outQuads) * 4u * params.inQuads + column;
  return vec4f(w[row * params.outQuads + quad % params.outQuads]);
}
fn storeQuad(pixel: u32, column: u32, split: u32, value: vec4f) {
  let quad = column / 4u;
  if (pixel >= inPixels() || quad >= params.inQuads) { return; }
  dx[pixel * params.inQuads + quad] = value * (params.largestScale / gradientScale());
}`,
    leftAlong: 'inner',
    rightAlong: 'inner',
    innerStart: '0u',
    innerEnd: '4u * innerQuads()',
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
 * Grid: tiles of weight rows × tiles of output channels × splits. The reader adds up the splits, which start at
 * multiples of MAX_DEPTH.
 */
export function weightGradientKernel(
  variant: ConvVariant,
): Kernel<keyof typeof GEOMETRY | 'inputStep' | 'pixelsPerSplit' | 'rangeIndex'> {
  const { path, dense, input } = variant;
  const gather = dense
    ? 'return loadInput(pixel * params.inQuads + quad);'
    : `${splitPixel('params.outHeight', 'params.outWidth')}
  let tap = quad / params.inQuads;
  let inY = i32(y * params.stride + tap / params.kernel) - i32(params.padding);
  let inX = i32(x0 * params.stride + tap % params.kernel) - i32(params.padding);
  if (inY < 0 || inX < 0 || inY >= i32(params.inHeight) || inX >= i32(params.inWidth)) { return vec4f(); }
  let source = (image * params.inHeight + u32(inY)) * params.inWidth + u32(inX);
  return loadInput(source * params.inQuads + quad % params.inQuads);`;
  const product: Product = {
    functions: `${gradientScale(path)}
${loadInput(input)}
fn outPixels() -> u32 { return params.batch * params.outHeight * params.outWidth; }
fn rowQuads() -> u32 { return params.kernel * params.kernel * params.inQuads; }
fn leftQuad(row: u32, pixel: u32) -> vec4f {
  let quad = row / 4u;
  if (pixel >= outPixels() || quad >= rowQuads()) { return vec4f(); }
${gather}
}
fn rightQuad(pixel: u32, column: u32) -> vec4f {
  let quad = column / 4u;
  if (pixel >= outPixels() || quad >= params.outQuads) { return vec4f(); }
  return dy[pixel * params.outQuads + quad] * gradientScale();
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
