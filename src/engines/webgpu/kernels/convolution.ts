/**
 * @file The three products of a convolution as implicit matrix products: no unrolled image is ever in memory.
 *
 * Feature maps are [pixels, channels] with pixels = batch · height · width, weights [taps · inChannels, outChannels]
 * with the tap kh · kernel + kw outermost; both pad channels to a multiple of four with zeros. "Quads" count groups of
 * four channels. Inputs are float32, or levels packed four to a word, whose step the caller gives as `scale`.
 */
import { defineKernel, type Kernel } from '../kernel.js';
import { forEachItem, gemm, type Tile } from './gemm.js';

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
} as const;
export type Geometry = Readonly<Record<keyof typeof GEOMETRY, number>>;

export interface ConvVariant {
  readonly tile: Tile;
  /** Kernel 1, stride 1: rows of input and output correspond, nothing to gather. */
  readonly dense: boolean;
  readonly input: FeatureFormat;
}

const loadInput = (format: FeatureFormat): string => `
fn loadInput(i: u32) -> vec4f {
  return ${format === 'levels' ? 'vec4f(unpack4xU8(x[i]))' : 'x[i]'};
}`;

const inputBuffer = (format: FeatureFormat) => (format === 'levels' ? 'read u32' : 'read vec4f');

/** WGSL: declares for j = 0 … 3 what \`line(j)\` gives. */
const four = (line: (j: number) => string): string => [0, 1, 2, 3].map(line).join('\n');

/** WGSL: splits pixel \`p\` of an image of the given size into image, y and x. */
const splitPixel = (p: string, suffix: string, height: string, width: string): string => `
    let image${suffix} = ${p} / (${height} * ${width});
    let within${suffix} = ${p} % (${height} * ${width});
    let pixelY${suffix} = within${suffix} / ${width};
    let pixelX${suffix} = within${suffix} % ${width};`;

/** Reads four rows of four channels each and stores them turned: \`rows(j)\` is the vec4f expression of row j. */
function turnedBlock(target: 'left' | 'right', side: number, rows: (j: number) => string): string {
  const component = ['x', 'y', 'z', 'w'];
  return [
    four((j) => `      let row${j} = ${rows(j)};`),
    four((k) => {
      const values = [0, 1, 2, 3].map((j) => `row${j}.${component[k]}`).join(', ');
      return `      ${target}[(4u * depthQuad + ${k}u) * ${side / 4}u + block] = vec4f(${values});`;
    }),
  ].join('\n');
}

/**
 * y[pixel, outC] = scale · Σ x[gathered pixel, inC] · w[tap · inC, outC]
 * Grid: tiles of output pixels × tiles of output channels.
 */
export function forwardKernel(
  variant: ConvVariant,
): Kernel<keyof typeof GEOMETRY | 'scale', 'x' | 'w' | 'y'> {
  const { tile, dense, input } = variant;
  const blocks = (tile.rows / 4) * (tile.depth / 4);
  const gather = (j: number): string =>
    dense
      ? `select(vec4f(), loadInput(pixel${j} * params.inQuads + innerQuad), inside && pixel${j} < pixels)`
      : `gather(pixel${j} < pixels && inside, image${j}, yBase${j} + tapY, xBase${j} + tapX, channelQuad)`;
  const body = gemm({
    tile,
    functions: `${loadInput(input)}
fn gather(inside: bool, image: u32, y: i32, x: i32, quad: u32) -> vec4f {
  if (!inside || y < 0 || x < 0 || y >= i32(params.inHeight) || x >= i32(params.inWidth)) { return vec4f(); }
  return loadInput(((image * params.inHeight + u32(y)) * params.inWidth + u32(x)) * params.inQuads + quad);
}`,
    prologue: `
  let pixels = params.batch * params.outHeight * params.outWidth;
  let innerQuads = params.kernel * params.kernel * params.inQuads;
  let block = local % ${tile.rows / 4}u;
  let depthQuad = local / ${tile.rows / 4}u;
${four((j) => `    let pixel${j} = rowBase + 4u * block + ${j}u;`)}
${
  dense
    ? ''
    : four(
        (j) => `${splitPixel(`pixel${j}`, String(j), 'params.outHeight', 'params.outWidth')}
    let yBase${j} = i32(pixelY${j} * params.stride) - i32(params.padding);
    let xBase${j} = i32(pixelX${j} * params.stride) - i32(params.padding);`,
      )
}`,
    innerStart: '0u',
    innerEnd: '4u * innerQuads',
    loadLeft: `
    if (local < ${blocks}u) {
      let innerQuad = innerBase / 4u + depthQuad;
      let inside = innerQuad < innerQuads;
${
  dense
    ? ''
    : `
      let tap = innerQuad / params.inQuads;
      let channelQuad = innerQuad % params.inQuads;
      let tapY = i32(tap / params.kernel);
      let tapX = i32(tap % params.kernel);`
}
${turnedBlock('left', tile.rows, gather)}
    }`,
    loadRight: forEachItem(
      (tile.columns / 4) * tile.depth,
      `
      let quad = columnBase / 4u + item % ${tile.columns / 4}u;
      let inner = innerBase + item / ${tile.columns / 4}u;
      var value = vec4f();
      if (quad < params.outQuads && inner < 4u * innerQuads) { value = w[inner * params.outQuads + quad]; }
      right[item] = value;`,
    ),
    store: `
  if (row >= params.batch * params.outHeight * params.outWidth || column >= 4u * params.outQuads) { return; }
  y[row * params.outQuads + column / 4u] = value * params.scale;`,
  });
  return defineKernel({
    label: 'convolution',
    params: { ...GEOMETRY, scale: 'f32' },
    buffers: { x: inputBuffer(input), w: 'read vec4f', y: 'read_write vec4f' },
    body,
  });
}

/**
 * dx[pixel, inC] = Σ dy[pixels that read it, outC] · w[tap · inC, outC]
 * Grid: tiles of input pixels × tiles of input channels.
 */
export function inputGradientKernel(
  variant: Pick<ConvVariant, 'tile' | 'dense'>,
): Kernel<keyof typeof GEOMETRY, 'dy' | 'w' | 'dx'> {
  const { tile, dense } = variant;
  const blocks = (tile.rows / 4) * (tile.depth / 4);
  const rightBlocks = (tile.columns / 4) * (tile.depth / 4);
  const gather = (j: number): string =>
    dense
      ? `select(vec4f(), dy[pixel${j} * params.outQuads + innerQuad], inside && pixel${j} < pixels)`
      : `gather(pixel${j} < pixels && inside, image${j}, yBase${j} - tapY, xBase${j} - tapX, channelQuad)`;
  const body = gemm({
    tile,
    functions: `
fn gather(inside: bool, image: u32, y: i32, x: i32, quad: u32) -> vec4f {
  if (!inside || y < 0 || x < 0) { return vec4f(); }
  let outY = u32(y) / params.stride;
  let outX = u32(x) / params.stride;
  let onGrid = outY * params.stride == u32(y) && outX * params.stride == u32(x);
  if (!onGrid || outY >= params.outHeight || outX >= params.outWidth) { return vec4f(); }
  return dy[((image * params.outHeight + outY) * params.outWidth + outX) * params.outQuads + quad];
}
fn weight(inner: u32, channel: u32) -> vec4f {
  let tap = inner / params.outQuads;
  let quad = inner % params.outQuads;
  if (channel >= 4u * params.inQuads || tap >= params.kernel * params.kernel) { return vec4f(); }
  return w[(tap * 4u * params.inQuads + channel) * params.outQuads + quad];
}`,
    prologue: `
  let pixels = params.batch * params.inHeight * params.inWidth;
  let innerQuads = params.kernel * params.kernel * params.outQuads;
  let block = local % ${tile.rows / 4}u;
  let depthQuad = local / ${tile.rows / 4}u;
${four((j) => `    let pixel${j} = rowBase + 4u * block + ${j}u;`)}
${
  dense
    ? ''
    : four(
        (j) => `${splitPixel(`pixel${j}`, String(j), 'params.inHeight', 'params.inWidth')}
    let yBase${j} = i32(pixelY${j} + params.padding);
    let xBase${j} = i32(pixelX${j} + params.padding);`,
      )
}`,
    innerStart: '0u',
    innerEnd: '4u * innerQuads',
    loadLeft: `
    if (local < ${blocks}u) {
      let innerQuad = innerBase / 4u + depthQuad;
      let inside = innerQuad < innerQuads;
${
  dense
    ? ''
    : `
      let tap = innerQuad / params.outQuads;
      let channelQuad = innerQuad % params.outQuads;
      let tapY = i32(tap / params.kernel);
      let tapX = i32(tap % params.kernel);`
}
${turnedBlock('left', tile.rows, gather)}
    }`,
    loadRight: `
    if (local < ${rightBlocks}u) {
      let block = local % ${tile.columns / 4}u;
      let depthQuad = local / ${tile.columns / 4}u;
      let channel = columnBase + 4u * block;
${turnedBlock('right', tile.columns, (j) => `weight(innerBase / 4u + depthQuad, channel + ${j}u)`)}
    }`,
    store: `
  if (row >= params.batch * params.inHeight * params.inWidth || column >= 4u * params.inQuads) { return; }
  dx[row * params.inQuads + column / 4u] = value;`,
  });
  return defineKernel({
    label: 'input gradient',
    params: GEOMETRY,
    buffers: { dy: 'read vec4f', w: 'read vec4f', dx: 'read_write vec4f' },
    body,
  });
}

/**
 * dw[split, tap · inC, outC] = scale · Σ over the split's output pixels of x[gathered pixel, inC] · dy[pixel, outC]
 * Grid: tiles of weight rows × tiles of output channels × splits. The reader adds up the splits.
 */
export function weightGradientKernel(
  variant: ConvVariant,
): Kernel<keyof typeof GEOMETRY | 'scale' | 'pixelsPerSplit', 'x' | 'dy' | 'dw'> {
  const { tile, dense, input } = variant;
  const body = gemm({
    tile,
    functions: loadInput(input),
    prologue: `
  let pixels = params.batch * params.outHeight * params.outWidth;
  let rowQuads = params.kernel * params.kernel * params.inQuads;
  let rowQuad = rowBase / 4u + local % ${tile.rows / 4}u;
  let tap = rowQuad / params.inQuads;
  let channelQuad = rowQuad % params.inQuads;
  let tapY = i32(tap / params.kernel) - i32(params.padding);
  let tapX = i32(tap % params.kernel) - i32(params.padding);`,
    innerStart: 'split * params.pixelsPerSplit',
    innerEnd: 'min(pixels, (split + 1u) * params.pixelsPerSplit)',
    loadLeft: forEachItem(
      (tile.rows / 4) * tile.depth,
      `
      let pixel = innerBase + item / ${tile.rows / 4}u;
      var value = vec4f();
      if (pixel < innerEnd && rowQuad < rowQuads) {
${
  dense
    ? '        value = loadInput(pixel * params.inQuads + channelQuad);'
    : `${splitPixel('pixel', '', 'params.outHeight', 'params.outWidth')}
        let inY = i32(pixelY * params.stride) + tapY;
        let inX = i32(pixelX * params.stride) + tapX;
        if (inY >= 0 && inX >= 0 && inY < i32(params.inHeight) && inX < i32(params.inWidth)) {
          let source = (image * params.inHeight + u32(inY)) * params.inWidth + u32(inX);
          value = loadInput(source * params.inQuads + channelQuad);
        }`
}
      }
      left[item] = value;`,
    ),
    loadRight: forEachItem(
      (tile.columns / 4) * tile.depth,
      `
      let quad = columnBase / 4u + item % ${tile.columns / 4}u;
      let pixel = innerBase + item / ${tile.columns / 4}u;
      var value = vec4f();
      if (pixel < innerEnd && quad < params.outQuads) { value = dy[pixel * params.outQuads + quad]; }
      right[item] = value;`,
    ),
    store: `
  let rows = 4u * params.kernel * params.kernel * params.inQuads;
  if (row >= rows || column >= 4u * params.outQuads) { return; }
  dw[(split * rows + row) * params.outQuads + column / 4u] = value * params.scale;`,
  });
  return defineKernel({
    label: 'weight gradient',
    params: { ...GEOMETRY, scale: 'f32', pixelsPerSplit: 'u32' },
    buffers: { x: inputBuffer(input), dy: 'read vec4f', dw: 'read_write vec4f' },
    body,
  });
}
