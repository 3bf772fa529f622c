/**
 * @file The weights a convolution computes with, made anew each step, and the updates of what they are made from.
 * On the device they lie in the layouts of convolution.ts, padded: levels where there is a grid, else real values. A task's own tensors lie as on the host: scores [outC, bitsPerFilter],
 * weights [outC, inC, k, k].
 */
import type { MaskSpec, OptimizerSpec } from '../../../adaption/method.js';
import { type BufferType, defineKernel, type ElementType, linearEntry, type ScalarType } from '../kernel.js';
import type { WeightLayout } from './convolution.js';
import { gumbelNoiseSource } from './noise.js';
import { optimizerSource, wgslFloat } from './optimizer.js';

/** One layer's weights. `offset`: of its tensor in the task's flat state; `copyChannels`: from one copy to the next. */
const LAYER = {
  inChannels: 'u32',
  copyChannels: 'u32',
  outChannels: 'u32',
  inQuads: 'u32',
  outQuads: 'u32',
  taps: 'u32',
  offset: 'u32',
} as const satisfies Record<string, ScalarType>;

/** Mask geometry, and what keys the noise. */
const MASK = {
  rowsPerBit: 'u32',
  bitsPerFilter: 'u32',
  seed: 'u32',
  layerKey: 'u32',
} as const satisfies Record<string, ScalarType>;

const GRID = { limit: 'f32' } as const satisfies Record<string, ScalarType>;

/** WGSL: \`on(score)\` and \`derivative(score)\` of a binariser; see adaption/fold.ts and the reference's straightThrough. */
function binarizer({ binarizer, threshold, slope, noise }: MaskSpec): string {
  if (binarizer === 'identity') {
    return `
fn isOn(index: u32) -> bool { return tensors[params.offset + index] > ${wgslFloat(threshold)}; }
fn derivative(index: u32) -> f32 { return 1.0; }`;
  }
  const added = noise ? ' + gumbelNoise(params.seed, step.index, params.layerKey, index)' : '';
  return `
${noise ? gumbelNoiseSource : ''}
fn argument(index: u32) -> f32 {
  return (tensors[params.offset + index] - ${wgslFloat(threshold)}) * ${wgslFloat(slope)}${added};
}
fn isOn(index: u32) -> bool { return argument(index) >= 0.0; }
fn derivative(index: u32) -> f32 {
  let soft = 1.0 / (1.0 + exp(-argument(index)));
  return ${wgslFloat(slope)} * soft * (1.0 - soft);
}`;
}

/** How four neighbouring weights lie in memory. */
const quadsOfType = {
  f32: { element: 'vec4f', load: (quad: string) => quad, store: (values: string) => values },
  f16: {
    element: 'vec4<f16>',
    load: (quad: string) => `vec4f(${quad})`,
    store: (values: string) => `vec4<f16>(${values})`,
  },
  i8: {
    element: 'u32',
    load: (quad: string) => `vec4f(unpack4xI8(${quad}))`,
    store: (values: string) => `pack4xI8(vec4i(${values}))`,
  },
} as const satisfies Record<WeightLayout['type'], { element: ElementType; [convert: string]: unknown }>;

/**
 * WGSL of a kernel with one thread per quad of the layout: `weightOf(outChannel, inChannel, tap)` is the value of
 * each weight that is no padding.
 * @param factor by which a quad's values are multiplied; sees `i`, the quad
 */
function weightsEntry({ order, type }: WeightLayout, factor?: string): string {
  const { store } = quadsOfType[type];
  const values = factor === undefined ? 'values' : `values * ${factor}`;
  const place =
    order === 'rows'
      ? `
  let row = i / params.outQuads;
  let first = vec3u(4u * (i % params.outQuads), row % inPadded, row / inPadded);
  let next = vec3u(1u, 0u, 0u);`
      : `
  let quadsPerFilter = params.taps * params.inQuads;
  let inner = 4u * (i % quadsPerFilter);
  let first = vec3u(i / quadsPerFilter, inner % inPadded, inner / inPadded);
  let next = vec3u(0u, 1u, 0u);`;
  return linearEntry(`
  if (i >= params.taps * params.inQuads * 4u * params.outQuads) { return; }
  let inPadded = 4u * params.inQuads;${place}
  var values = vec4f();
  for (var part = 0u; part < 4u; part++) {
    let at = first + part * next;
    let inChannel = at.y % params.copyChannels;
    if (at.x < params.outChannels && inChannel < params.inChannels) { values[part] = weightOf(at.x, inChannel, at.z); }
  }
  w[i] = ${store(values)};`);
}

/** w = frozen · bit. One thread per quad of `w`. */
export function maskedWeightsKernel(mask: MaskSpec, layout: WeightLayout) {
  const { element, load } = quadsOfType[layout.type];
  return defineKernel({
    label: 'weights',
    params: { ...LAYER, ...MASK },
    usesStep: mask.noise,
    buffers: { frozen: `read ${element}`, tensors: 'read f32', w: `read_write ${element}` },
    body: `${binarizer(mask)}
fn weightOf(outChannel: u32, inChannel: u32, tap: u32) -> f32 {
  let bit = outChannel * params.bitsPerFilter + (inChannel * params.taps + tap) / params.rowsPerBit;
  return select(0.0, 1.0, isOn(bit));
}
${weightsEntry(layout, load('frozen[i]'))}`,
  });
}

const tensorAt = `
fn tensorAt(outChannel: u32, inChannel: u32, tap: u32) -> f32 {
  return tensors[params.offset + (outChannel * params.inChannels + inChannel) * params.taps + tap];
}`;

/** Trained weights as they are: full precision, and the head. One thread per quad of `w`. */
export const plainWeightsKernel = defineKernel({
  label: 'weights',
  params: LAYER,
  buffers: { tensors: 'read f32', w: 'read_write vec4f' },
  body: `${tensorAt}
fn weightOf(outChannel: u32, inChannel: u32, tap: u32) -> f32 { return tensorAt(outChannel, inChannel, tap); }
${weightsEntry({ order: 'rows', type: 'f32' })}`,
});

/** Levels of trained weights on the backbone's grid: round(clip(w/scale, −limit, limit)). One thread per quad of `w`. */
export function gridWeightsKernel(layout: WeightLayout) {
  return defineKernel({
    label: 'weights',
    params: { ...LAYER, ...GRID },
    buffers: { tensors: 'read f32', scales: 'read f32', w: `read_write ${quadsOfType[layout.type].element}` },
    body: `${tensorAt}
fn weightOf(outChannel: u32, inChannel: u32, tap: u32) -> f32 {
  let scale = scales[outChannel];
  if (scale == 0.0) { return 0.0; }
  return round(clamp(tensorAt(outChannel, inChannel, tap) / scale, -params.limit, params.limit));
}
${weightsEntry(layout)}`,
  });
}

/**
 * Adds up the splits of {@link weightGradientKernel}, into the first. One thread per four values: an update has one
 * thread per mask bit, far too few to read hundreds of splits.
 */
export const sumSplitsKernel = defineKernel({
  label: 'weight gradient',
  params: { size: 'u32', splits: 'u32' },
  buffers: { dw: 'read_write vec4f' },
  body: linearEntry(`
  if (i >= params.size) { return; }
  var sum = dw[i];
  for (var split = 1u; split < params.splits; split++) { sum += dw[split * params.size + i]; }
  dw[i] = sum;`),
});

/**
 * One thread per mask bit: dL/dbit = Σ over its rows of frozen · dL/dw, both in levels, through the binariser, into
 * the optimiser. Of an input that lies there twice the first copy counts: its second one is rounding of the first.
 * @param type of `frozen`, which lies as `rows`
 */
export function maskUpdateKernel(mask: MaskSpec, optimizer: OptimizerSpec, type: WeightLayout['type']) {
  const update = optimizerSource(optimizer);
  return defineKernel({
    label: 'update',
    params: { ...LAYER, ...MASK },
    usesStep: true,
    buffers: { frozen: type === 'f16' ? 'read f16' : 'read f32', dw: 'read f32', ...update.buffers },
    body: `${binarizer(mask)}
${update.functions}
${linearEntry(`
  if (i >= params.bitsPerFilter * params.outChannels) { return; }
  let outChannel = i % params.outChannels;
  let segment = i / params.outChannels;
  let rows = params.inChannels * params.taps;
  let end = min(rows, (segment + 1u) * params.rowsPerBit);
  var sum = 0.0;
  for (var r = segment * params.rowsPerBit; r < end; r++) {
    let row = (r % params.taps) * 4u * params.inQuads + r / params.taps;
    let at = row * 4u * params.outQuads + outChannel;
    sum += f32(frozen[at]) * dw[at];
  }
  let bit = outChannel * params.bitsPerFilter + segment;
  update(params.offset + bit, sum * derivative(bit), step.learningRateMasks);`)}`,
  });
}

type TrainedGroup = 'Weights' | 'Head';

/**
 * One thread per trained weight; `grid`: dw is by level, and the gradient passes where |w| ≤ limit · scale. Not |w/scale| ≤ limit: weights
 * start as level · scale, many of them on that very edge, and a GPU's division may end on either side of it.
 */
export function weightUpdateKernel(optimizer: OptimizerSpec, group: TrainedGroup, grid: boolean) {
  const update = optimizerSource(optimizer);
  const buffers: Record<string, BufferType> = { dw: 'read f32', ...update.buffers };
  if (grid) buffers.scales = 'read f32';
  return defineKernel({
    label: 'update',
    params: { ...LAYER, ...GRID },
    usesStep: true,
    buffers,
    body: `${update.functions}
${linearEntry(`
  if (i >= params.outChannels * params.inChannels * params.taps) { return; }
  let outChannel = i % params.outChannels;
  let rest = i / params.outChannels;
  let inChannel = rest % params.inChannels;
  let tap = rest / params.inChannels;
  let index = params.offset + (outChannel * params.inChannels + inChannel) * params.taps + tap;
  var gradient = dw[(tap * 4u * params.inQuads + inChannel) * 4u * params.outQuads + outChannel];
${
  grid
    ? `
  let scale = scales[outChannel];
  if (scale != 0.0) {
    gradient = select(gradient / scale, 0.0, abs(tensors[index]) > params.limit * scale);
  }`
    : ''
}
  update(index, gradient, step.learningRate${group});`)}`,
  });
}
