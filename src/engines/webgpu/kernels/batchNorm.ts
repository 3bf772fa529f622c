/** @file Batch norm's statistics: partial sums, then the coefficients with which the element-wise kernels normalise. */

import type { OptimizerSpec } from '../../../adaption/method.js';
import { BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM } from '../../../model/graph.js';
import { defineKernel, type Kernel, type ScalarType, type Workgroups } from '../kernel.js';
import { channelSums, columnTotal, SUM_PARAMS } from './channelSums.js';
import { type FeatureFormat, formats } from './formats.js';
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

const THREADS = 256;

/** The grid of a kernel with {@link quadEntry}. */
export const normWorkgroups = (quads: number): Workgroups => [quads, 1, 1];

/**
 * WGSL: a workgroup for each quad, whose threads share the chunks of `sums` and add them up in a fixed order.
 * @param totals statements that see `local` and `quad` and declare vectors, the quad's totals
 * @param perChannel statements that see `channel` and its place `c` in the vectors
 */
const quadEntry = (totals: string, perChannel: string): string => `${columnTotal(THREADS, 1)}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let quad = group.x;
${totals}
  if (local >= 4u) { return; }
  let c = local;
  let channel = 4u * quad + c;
${perChannel}
}
`;

/** WGSL: for every `chunk` of this thread, with `at`, where its pair of sums lies. */
const eachChunk = (body: string): string => `
  for (var chunk = local; chunk < params.chunks; chunk += ${THREADS}u) {
    let at = 2u * (chunk * params.quads + quad);
${body}
  }`;

/**
 * Of each chunk of pixels and channel the mean and the sum of squared deviations from it, by the sums of d and d²,
 * d = x − x of the first pixel: near enough to the mean that their difference does not cancel.
 */
export function statisticsSumsKernel(lanes: number, input: FeatureFormat) {
  const { element, load } = formats[input];
  const body = channelSums({
    lanes,
    perChannel: `    let origin = ${load('x[quad]')};`,
    perPixel: `      let d = ${load('x[i]')} - origin;`,
    sums: [
      {
        target: 'sums',
        values: ['d', 'd * d'],
        stored: (sum, squares) => [
          `${load('x[quad]')} + ${sum} / count`,
          `max(${squares} - ${sum} * ${sum} / count, vec4f())`,
        ],
      },
    ],
  });
  return defineKernel({
    label: 'batch norm statistics',
    params: { quads: 'u32', ...SUM_PARAMS },
    buffers: { x: `read ${element}`, sums: 'read_write vec4f' },
    body,
  });
}

/**
 * The batch's mean and (biased) variance become coefficients; the running statistics move by the momentum, with the
 * unbiased variance, as in PyTorch. Chunks are put together as in Chan, Golub and LeVeque 1983 (The American Statistician
 * 37:3). `units`: what a 1 of the input stands for, per channel. The coefficients are for the input as it is stored, the
 * running statistics for what it stands for.
 */
export const statisticsKernel = defineKernel({
  label: 'batch norm statistics',
  params: { ...NORM, pixelsPerChunk: 'u32', meanOffset: 'u32', varianceOffset: 'u32' },
  buffers: {
    sums: 'read vec4f',
    units: 'read f32',
    coefficients: 'read_write f32',
    tensors: 'read_write f32',
  },
  body: `
fn pixelsOf(chunk: u32) -> f32 {
  return min(f32(params.pixelsPerChunk), params.count - f32(chunk) * f32(params.pixelsPerChunk));
}
${quadEntry(
  `  let origin = sums[2u * quad];
  var sum = vec4f();${eachChunk('    sum += pixelsOf(chunk) * (sums[at] - origin);')}
  let means = origin + columnTotal(local, sum) / params.count;
  var squares = vec4f();${eachChunk(`    let distance = sums[at] - means;
    squares += sums[at + 1u] + pixelsOf(chunk) * distance * distance;`)}
  let variances = columnTotal(local, squares) / params.count;`,
  `  if (channel >= params.channels) {
${COEFFICIENTS.map((name) => `    ${at(name)} = 0.0;`).join('\n')}
    return;
  }
  let mean = means[c];
  let unit = units[channel];
  let variance = variances[c] * unit * unit;
  let inverse = unit / sqrt(variance + ${BATCH_NORM_EPSILON});
  ${at('mean')} = mean;
  ${at('inverse')} = inverse;
  ${at('scale')} = tensors[params.weightOffset + channel] * inverse;
  ${at('shift')} = tensors[params.biasOffset + channel];
  let unbiased = variance * (params.count / (params.count - 1.0));
  let keep = ${1 - BATCH_NORM_MOMENTUM};
  let meanAt = params.meanOffset + channel;
  let varianceAt = params.varianceOffset + channel;
  tensors[meanAt] = tensors[meanAt] * keep + mean * unit * ${BATCH_NORM_MOMENTUM};
  tensors[varianceAt] = tensors[varianceAt] * keep + unbiased * ${BATCH_NORM_MOMENTUM};`,
)}`,
});

/** Totals of the gradient sums become coefficients, and weight and bias take their step. */
export function affineUpdateKernel(optimizer: OptimizerSpec): Kernel {
  const update = optimizerSource(optimizer);
  return defineKernel({
    label: 'update',
    params: NORM,
    usesStep: true,
    buffers: { sums: 'read vec4f', coefficients: 'read_write f32', ...update.buffers },
    body: `${update.functions}
${quadEntry(
  `  var gradients = vec4f();
  var products = vec4f();${eachChunk(`    gradients += sums[at];
    products += sums[at + 1u];`)}
  gradients = columnTotal(local, gradients);
  products = columnTotal(local, products);`,
  `  if (channel >= params.channels) { return; }
  ${at('meanGradient')} = gradients[c] / params.count;
  ${at('meanProduct')} = products[c] / params.count;
  update(params.weightOffset + channel, products[c], step.learningRateBatchNorm);
  update(params.biasOffset + channel, gradients[c], step.learningRateBatchNorm);`,
)}`,
  });
}
