/**
 * @file The weights a convolution computes with, made anew each step, and the updates of what they are made from.
 * On the device they lie in the layouts of convolution.ts, padded: levels where there is a grid, else real values. A task's own tensors lie as on the host: scores [outC, bitsPerFilter],
 * weights [outC, inC, k, k].
 */
import type { MaskSpec, OptimizerSpec } from '../../../adaption/method.js';
import {
  type BufferType,
  defineKernel,
  type ElementType,
  LINEAR_THREADS,
  linearEntry,
  linearWorkgroups,
  type ScalarType,
  type Workgroups,
} from '../kernel.js';
import { columnTotal } from './channelSums.js';
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

/** WGSL: `on(score)` and `derivative(score)` of a binariser; see adaption/fold.ts and the reference's straightThrough. */
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

/** Values that a thread adds up, each load waiting for those before: with more, threads share a sum. */
const VALUES_PER_THREAD = 8;
const MAX_THREADS_PER_SUM = 32;

/** Threads that share a sum of so many values. */
export function threadsPerSum(values: number): number {
  const enough = 2 ** Math.floor(Math.log2(Math.max(1, values / VALUES_PER_THREAD)));
  return Math.min(MAX_THREADS_PER_SUM, enough);
}

/** The grid of an update that makes so many quads of sums. */
export const updateWorkgroups = (quads: number, threads: number): Workgroups =>
  linearWorkgroups(quads * threads);

/**
 * WGSL: `sum`, of each quad `i` of neighbouring output channels that `count` says, over `item` from 0 to `items`, by so many
 * threads and in a fixed order.
 * @param prepare statements that see `i`, which may be beyond the count
 * @param value expression, after the statements `perItem`
 * @param perChannel statements that see `outChannel` and its `gradient`
 */
function sumEntry(source: {
  threads: number;
  count: string;
  prepare: string;
  items: string;
  perItem: string;
  value: string;
  perChannel: string;
}): string {
  const { threads, count, prepare, items, perItem, value, perChannel } = source;
  const columns = LINEAR_THREADS / threads;
  return `${threads > 1 ? columnTotal(threads, columns) : ''}
@compute @workgroup_size(${LINEAR_THREADS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * ${columns}u + local % ${columns}u;
  let exists = i < ${count};
  let quad = i % params.outQuads;
${prepare}
  var sum = vec4f();
  if (exists) {
    for (var item = local / ${columns}u; item < ${items}; item += ${threads}u) {
${perItem}
      sum += ${value};
    }
  }
${threads > 1 ? '  sum = columnTotal(local, sum);' : ''}
  if (!exists || local >= ${columns}u) { return; }
  for (var c = 0u; c < 4u; c++) {
    let outChannel = 4u * quad + c;
    if (outChannel >= params.outChannels) { break; }
    var gradient = sum[c];
${perChannel}
  }
}
`;
}

/** `splits`: of the weight gradient. */
const SPLITS = { splits: 'u32' } as const satisfies Record<string, ScalarType>;

/**
 * For each mask bit dL/dbit = Σ over its rows of frozen · dL/dw, both in levels, through the binariser, into the optimiser.
 * Of an input that lies there twice the first copy counts: its second one is rounding of the first.
 * @param gradient how dL/dw lies there: with `rowsPerSum` beyond 1 it has the weights in it
 * @param type of `frozen`, which lies as `rows`
 */
export function maskUpdateKernel(
  mask: MaskSpec,
  optimizer: OptimizerSpec,
  gradient: { readonly rowsPerSum: number; readonly threads: number },
  type: 'f16' | 'f32',
) {
  const update = optimizerSource(optimizer);
  const { rowsPerSum, threads } = gradient;
  const buffers: Record<string, BufferType> = { dw: 'read vec4f', ...update.buffers };
  if (rowsPerSum === 1) buffers.frozen = `read ${quadsOfType[type].element}`;
  return defineKernel({
    label: 'update',
    params: { ...LAYER, ...MASK, ...SPLITS },
    usesStep: true,
    buffers,
    body: `${binarizer(mask)}
${update.functions}
${sumEntry({
  threads,
  count: 'params.bitsPerFilter * params.outQuads',
  // Rows are those that are stored: sums of so many.
  prepare: `
  let segment = i / params.outQuads;
  let rowsPerTap = 4u * params.inQuads / ${rowsPerSum}u;
  let rowsPerBit = params.rowsPerBit / ${rowsPerSum}u;
  let rowsPerFilter = (params.inChannels + ${rowsPerSum - 1}u) / ${rowsPerSum}u * params.taps;
  let firstRow = segment * rowsPerBit;
  let rows = min(rowsPerBit, rowsPerFilter - firstRow);`,
  items: 'rows * params.splits',
  perItem: `
      let split = item / rows;
      let r = firstRow + item - split * rows;
      let at = ((r % params.taps) * rowsPerTap + r / params.taps) * params.outQuads + quad;
      let part = dw[split * params.taps * rowsPerTap * params.outQuads + at];`,
  value: rowsPerSum === 1 ? 'vec4f(frozen[at]) * part' : 'part',
  perChannel: `
    let bit = outChannel * params.bitsPerFilter + segment;
    update(params.offset + bit, gradient * derivative(bit), step.learningRateMasks);`,
})}`,
  });
}

type TrainedGroup = 'Weights' | 'Head';

/**
 * For each trained weight; `grid`: dw is by level, and the gradient passes where |w| ≤ limit · scale. Not |w/scale| ≤ limit: weights
 * start as level · scale, many of them on that very edge, and a GPU's division may end on either side of it.
 * @param threads that share a sum of splits
 */
export function weightUpdateKernel(
  optimizer: OptimizerSpec,
  group: TrainedGroup,
  grid: boolean,
  threads: number,
) {
  const update = optimizerSource(optimizer);
  const buffers: Record<string, BufferType> = { dw: 'read vec4f', ...update.buffers };
  if (grid) buffers.scales = 'read f32';
  return defineKernel({
    label: 'update',
    params: { ...LAYER, ...GRID, ...SPLITS },
    usesStep: true,
    buffers,
    body: `${update.functions}
${sumEntry({
  threads,
  count: 'params.inChannels * params.taps * params.outQuads',
  prepare: `
  let inChannel = (i / params.outQuads) % params.inChannels;
  let tap = i / params.outQuads / params.inChannels;
  let at = (tap * 4u * params.inQuads + inChannel) * params.outQuads + quad;`,
  items: 'params.splits',
  perItem: '',
  value: 'dw[item * params.taps * 4u * params.inQuads * params.outQuads + at]',
  perChannel: `
    let index = params.offset + (outChannel * params.inChannels + inChannel) * params.taps + tap;
${
  grid
    ? `
    let scale = scales[outChannel];
    if (scale != 0.0) {
      gradient = select(gradient / scale, 0.0, abs(tensors[index]) > params.limit * scale);
    }`
    : ''
}
    update(index, gradient, step.learningRate${group});`,
})}`,
  });
}
