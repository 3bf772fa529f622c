/** @file Pools. One thread has four channels of one pixel; feature maps as in convolution.ts. */
import { defineKernel, linearEntry } from '../kernel.js';
import { GEOMETRY } from './convolution.js';
import { type FeatureFormat, formats } from './formats.js';

const MAX_POOL = { ...GEOMETRY } as const;

/** WGSL: splits element \`i\` of a map into image, y, x and quad. */
const split = (height: string, width: string): string => `
  let quads = params.inQuads;
  if (i >= params.batch * ${height} * ${width} * quads) { return; }
  let quad = i % quads;
  let pixel = i / quads;
  let x0 = pixel % ${width};
  let y0 = (pixel / ${width}) % ${height};
  let image = pixel / (${width} * ${height});`;

/** Largest value of each window, and which pixel of the window it is: the first, in row order, of equal ones. */
export const maxPoolKernel = defineKernel({
  label: 'pool',
  params: MAX_POOL,
  buffers: { x: 'read vec4f', y: 'read_write vec4f', winners: 'read_write u32' },
  body: linearEntry(`${split('params.outHeight', 'params.outWidth')}
  var best = vec4f(-3.4e38);
  var winner = vec4u();
  for (var tap = 0u; tap < params.kernel * params.kernel; tap++) {
    let inY = i32(y0 * params.stride + tap / params.kernel) - i32(params.padding);
    let inX = i32(x0 * params.stride + tap % params.kernel) - i32(params.padding);
    if (inY < 0 || inX < 0 || inY >= i32(params.inHeight) || inX >= i32(params.inWidth)) { continue; }
    let value = x[((image * params.inHeight + u32(inY)) * params.inWidth + u32(inX)) * quads + quad];
    let better = value > best;
    winner = select(winner, vec4u(tap), better);
    best = select(best, value, better);
  }
  y[i] = best;
  winners[i] = pack4xU8(winner);`),
});

/** Each input pixel gets the gradients of the windows it won. */
export const maxPoolGradientKernel = (gradients: FeatureFormat) =>
  defineKernel({
    label: 'pool gradient',
    params: MAX_POOL,
    buffers: {
      dy: `read ${formats[gradients].element}`,
      winners: 'read u32',
      dx: `read_write ${formats[gradients].element}`,
    },
    body: linearEntry(`${split('params.inHeight', 'params.inWidth')}
  var sum = vec4f();
  for (var tap = 0u; tap < params.kernel * params.kernel; tap++) {
    let outY = i32(y0 + params.padding) - i32(tap / params.kernel);
    let outX = i32(x0 + params.padding) - i32(tap % params.kernel);
    if (outY < 0 || outX < 0) { continue; }
    let windowY = u32(outY) / params.stride;
    let windowX = u32(outX) / params.stride;
    if (windowY * params.stride != u32(outY) || windowX * params.stride != u32(outX)) { continue; }
    if (windowY >= params.outHeight || windowX >= params.outWidth) { continue; }
    let window = ((image * params.outHeight + windowY) * params.outWidth + windowX) * quads + quad;
    sum += select(vec4f(), ${formats[gradients].load('dy[window]')}, unpack4xU8(winners[window]) == vec4u(tap));
  }
  dx[i] = ${formats[gradients].store('sum')};`),
  });

const AVERAGE = { batch: 'u32', pixels: 'u32', quads: 'u32' } as const;

/** [batch · pixels, channels] → [batch, channels] */
export const averagePoolKernel = defineKernel({
  label: 'pool',
  params: AVERAGE,
  buffers: { x: 'read vec4f', y: 'read_write vec4f' },
  body: linearEntry(`
  if (i >= params.batch * params.quads) { return; }
  let image = i / params.quads;
  let quad = i % params.quads;
  var sum = vec4f();
  for (var pixel = 0u; pixel < params.pixels; pixel++) {
    sum += x[(image * params.pixels + pixel) * params.quads + quad];
  }
  y[i] = sum / f32(params.pixels);`),
});

export const averagePoolGradientKernel = (gradients: FeatureFormat) =>
  defineKernel({
    label: 'pool gradient',
    params: AVERAGE,
    buffers: { dy: `read ${formats[gradients].element}`, dx: `read_write ${formats[gradients].element}` },
    body: linearEntry(`
  if (i >= params.batch * params.pixels * params.quads) { return; }
  let image = i / (params.pixels * params.quads);
  let gradient = ${formats[gradients].load('dy[image * params.quads + i % params.quads]')};
  dx[i] = ${formats[gradients].store('gradient / f32(params.pixels)')};`),
  });
