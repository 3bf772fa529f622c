/** @file Batch norm's statistics: partial sums, then the coefficients with which the element-wise kernels normalise. */

import type { OptimizerSpec } from '../../../adaption/method.js';
import { BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM } from '../../../model/graph.js';
import { defineKernel, type Kernel, type ScalarType, type Workgroups } from '../kernel.js';
import { channelSums, columnTotal, SUM_PARAMS } from './channelSums.js';
import { optimizerSource } from './optimizer.js';
import { COEFFICIENTS } from './pointwise.js';

/** One batch norm: where its coefficients, sums and affine parameters lie. `count`: pixels of the batch. */
const NORM = {
  channels: 'u32',
  quads: 'u32',
  chunks: 'u32',
  norm: 'u32',
  count: 'f32',
  weightOffset: 'u32',
  biasOffset: 'u32',
} as const satisfies Record<string, ScalarType>;

/** WGSL: coefficient vectors of one batch norm, addressed by scalars. */
const at = (name: (typeof COEFFICIENTS)[number]): string =>
  `coefficients[4u * (params.norm + ${COEFFICIENTS.indexOf(name)}u * params.quads) + channel]`;

/** Threads of a workgroup: as many rows share the chunks of a few channels. */
const CHANNELS = 8;
const ROWS = 32;

/** The grid of a kernel with {@link channelEntry}. */
export const channelWorkgroups = (quads: number): Workgroups => [Math.ceil((4 * quads) / CHANNELS), 1, 1];

/** WGSL: adds up the chunks of `sums` in a fixed order; `body` runs once per `channel` with its totals. */
const channelEntry = (
  first: string,
  second: string,
  body: string,
): string => `${columnTotal('vec2f', ROWS, CHANNELS)}
@compute @workgroup_size(${CHANNELS * ROWS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let channel = group.x * ${CHANNELS}u + local % ${CHANNELS}u;
  var pair = vec2f();
  if (channel < 4u * params.quads) {
    for (var chunk = local / ${CHANNELS}u; chunk < params.chunks; chunk += ${ROWS}u) {
      let at = 8u * (chunk * params.quads + channel / 4u) + channel % 4u;
      pair += vec2f(sums[at], sums[at + 4u]);
    }
  }
  let total = columnTotal(local, pair);
  if (local >= ${CHANNELS}u || channel >= 4u * params.quads) { return; }
  let ${first} = total.x;
  let ${second} = total.y;
${body}
}
`;

/**
 * Partial sums of d and d², d = x − x of the first pixel: near enough to the mean that the variance,
 * mean(d²) − mean(d)², does not cancel.
 */
export function statisticsSumsKernel(lanes: number) {
  const body = channelSums({
    lanes,
    perChannel: '    let origin = x[quad];',
    perPixel: '      let d = x[i] - origin;',
    sums: [{ target: 'sums', values: ['d', 'd * d'] }],
  });
  return defineKernel({
    label: 'batch norm statistics',
    params: { quads: 'u32', ...SUM_PARAMS },
    buffers: { x: 'read vec4f', sums: 'read_write vec4f' },
    body,
  });
}

/**
 * The batch's mean and (biased) variance become coefficients; the running statistics move by the momentum, with the
 * unbiased variance, as in PyTorch.
 */
export const statisticsKernel = defineKernel({
  label: 'batch norm statistics',
  params: { ...NORM, meanOffset: 'u32', varianceOffset: 'u32' },
  buffers: {
    x: 'read f32',
    sums: 'read f32',
    coefficients: 'read_write f32',
    tensors: 'read_write f32',
  },
  body: channelEntry(
    'sum',
    'squares',
    `  if (channel >= params.channels) {
${COEFFICIENTS.map((name) => `    ${at(name)} = 0.0;`).join('\n')}
    return;
  }
  let shift = sum / params.count;
  let mean = x[channel] + shift;
  let variance = max(squares / params.count - shift * shift, 0.0);
  let inverse = 1.0 / sqrt(variance + ${BATCH_NORM_EPSILON});
  ${at('mean')} = mean;
  ${at('inverse')} = inverse;
  ${at('scale')} = tensors[params.weightOffset + channel] * inverse;
  ${at('shift')} = tensors[params.biasOffset + channel];
  let unbiased = variance * (params.count / (params.count - 1.0));
  let keep = ${1 - BATCH_NORM_MOMENTUM};
  let meanAt = params.meanOffset + channel;
  let varianceAt = params.varianceOffset + channel;
  tensors[meanAt] = tensors[meanAt] * keep + mean * ${BATCH_NORM_MOMENTUM};
  tensors[varianceAt] = tensors[varianceAt] * keep + unbiased * ${BATCH_NORM_MOMENTUM};`,
  ),
});

/** Totals of the gradient sums become coefficients, and weight and bias take their step. */
export function affineUpdateKernel(optimizer: OptimizerSpec): Kernel {
  const update = optimizerSource(optimizer);
  return defineKernel({
    label: 'update',
    params: NORM,
    usesStep: true,
    buffers: { sums: 'read f32', coefficients: 'read_write f32', ...update.buffers },
    body: `${update.functions}
${channelEntry(
  'gradient',
  'product',
  `  if (channel >= params.channels) { return; }
  ${at('meanGradient')} = gradient / params.count;
  ${at('meanProduct')} = product / params.count;
  update(params.weightOffset + channel, product, step.learningRateBatchNorm);
  update(params.biasOffset + channel, gradient, step.learningRateBatchNorm);`,
)}`,
  });
}
