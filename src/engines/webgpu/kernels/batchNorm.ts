/** @file Batch norm's statistics: partial sums, then the coefficients with which the element-wise kernels normalise. */

import type { OptimizerSpec } from '../../../adaption/method.js';
import { BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM } from '../../../model/graph.js';
import { defineKernel, type Kernel, linearEntry, type ScalarType } from '../kernel.js';
import { channelSums, SUM_PARAMS } from './channelSums.js';
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

const totals = (first: string, second: string): string => `
  var ${first} = 0.0;
  var ${second} = 0.0;
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let pair = 8u * (chunk * params.quads + channel / 4u) + channel % 4u;
    ${first} += sums[pair];
    ${second} += sums[pair + 4u];
  }`;

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
 * One thread per channel: the batch's mean and (biased) variance become coefficients; the running statistics move by
 * the momentum, with the unbiased variance, as in PyTorch.
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
  body: linearEntry(`
  let channel = i;
  if (channel >= 4u * params.quads) { return; }
  if (channel >= params.channels) {
${COEFFICIENTS.map((name) => `    ${at(name)} = 0.0;`).join('\n')}
    return;
  }
${totals('sum', 'squares')}
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
  tensors[varianceAt] = tensors[varianceAt] * keep + unbiased * ${BATCH_NORM_MOMENTUM};`),
});

/** One thread per channel: totals of the gradient sums become coefficients, and weight and bias take their step. */
export function affineUpdateKernel(optimizer: OptimizerSpec): Kernel {
  const update = optimizerSource(optimizer);
  return defineKernel({
    label: 'update',
    params: NORM,
    usesStep: true,
    buffers: { sums: 'read f32', coefficients: 'read_write f32', ...update.buffers },
    body: `${update.functions}
${linearEntry(`
  let channel = i;
  if (channel >= params.channels) { return; }
${totals('gradient', 'product')}
  ${at('meanGradient')} = gradient / params.count;
  ${at('meanProduct')} = product / params.count;
  update(params.weightOffset + channel, product, step.learningRateBatchNorm);
  update(params.biasOffset + channel, gradient, step.learningRateBatchNorm);`)}`,
  });
}
