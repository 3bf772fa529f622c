/**
 * @file The weights a convolution computes with, made anew each step, and the updates of what they are made from.
 * On the device they lie as [taps · inChannels, outChannels], padded (see convolution.ts): levels where there is a grid,
 * else real values; float16 for matrix units. A task's own tensors lie as on the host: scores [outC, bitsPerFilter],
 * weights [outC, inC, k, k].
 */
import type { MaskSpec, OptimizerSpec } from '../../../adaption/method.js';
import { type BufferType, defineKernel, linearEntry, type ScalarType } from '../kernel.js';
import { gumbelNoiseSource } from './noise.js';
import { optimizerSource, wgslFloat } from './optimizer.js';

/** One layer's weights. `offset`: of its tensor in the task's flat state. */
const LAYER = {
  inChannels: 'u32',
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

/** How a weight lies in memory. */
export type WeightType = 'f32' | 'f16';

/** WGSL: which weight element \`i\` of the padded device layout is; returns from main for padding. */
const elementOfLayout = `
  let outPadded = 4u * params.outQuads;
  if (i >= params.taps * 4u * params.inQuads * outPadded) { return; }
  let outChannel = i % outPadded;
  let row = i / outPadded;
  let inChannel = row % (4u * params.inQuads);
  let tap = row / (4u * params.inQuads);
  if (inChannel >= params.inChannels || outChannel >= params.outChannels) {
    w[i] = Weight(0);
    return;
  }`;

/** w = frozen · bit. One thread per element of \`w\`. */
export function maskedWeightsKernel(mask: MaskSpec, type: WeightType) {
  return defineKernel({
    label: 'weights',
    params: { ...LAYER, ...MASK },
    usesStep: mask.noise,
    buffers: { frozen: `read ${type}`, tensors: 'read f32', w: `read_write ${type}` },
    body: `alias Weight = ${type};
${binarizer(mask)}
${linearEntry(`${elementOfLayout}
  let bit = outChannel * params.bitsPerFilter + (inChannel * params.taps + tap) / params.rowsPerBit;
  w[i] = select(Weight(0), frozen[i], isOn(bit));`)}`,
  });
}

/** Trained weights as they are: full precision, and the head. One thread per element of \`w\`. */
export const plainWeightsKernel = defineKernel({
  label: 'weights',
  params: LAYER,
  buffers: { tensors: 'read f32', w: 'read_write f32' },
  body: `alias Weight = f32;
${linearEntry(`${elementOfLayout}
  w[i] = tensors[params.offset + (outChannel * params.inChannels + inChannel) * params.taps + tap];`)}`,
});

/** Levels of trained weights on the backbone's grid: round(clip(w/scale, −limit, limit)). */
export function gridWeightsKernel(type: WeightType) {
  return defineKernel({
    label: 'weights',
    params: { ...LAYER, ...GRID },
    buffers: { tensors: 'read f32', scales: 'read f32', w: `read_write ${type}` },
    body: `alias Weight = ${type};
${linearEntry(`${elementOfLayout}
  let scale = scales[outChannel];
  let value = tensors[params.offset + (outChannel * params.inChannels + inChannel) * params.taps + tap];
  var level = 0.0;
  if (scale != 0.0) { level = round(clamp(value / scale, -params.limit, params.limit)); }
  w[i] = Weight(level);`)}`,
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
 * One thread per mask bit: dL/dbit = scale · Σ over its rows of frozen · dL/dw, through the binariser, into the
 * optimiser.
 */
export function maskUpdateKernel(mask: MaskSpec, optimizer: OptimizerSpec, type: WeightType) {
  const update = optimizerSource(optimizer);
  return defineKernel({
    label: 'update',
    params: { ...LAYER, ...MASK },
    usesStep: true,
    buffers: { frozen: `read ${type}`, scales: 'read f32', dw: 'read f32', ...update.buffers },
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
  let gradient = sum * scales[outChannel];
  update(params.offset + bit, gradient * derivative(bit), step.learningRateMasks);`)}`,
  });
}

type TrainedGroup = 'Weights' | 'Head';

/**
 * One thread per trained weight; `grid`: the gradient passes where |w| ≤ limit · scale. Not |w/scale| ≤ limit: weights
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
  if (scale != 0.0 && abs(tensors[index]) > params.limit * scale) { gradient = 0.0; }`
    : ''
}
  update(index, gradient, step.learningRate${group});`)}`,
  });
}
