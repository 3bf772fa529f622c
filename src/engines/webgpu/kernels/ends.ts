/** @file The two ends of a step: pixels into feature maps, and logits into loss, metrics and gradients. */
import type { OptimizerSpec } from '../../../adaption/method.js';
import { defineKernel, linearEntry } from '../kernel.js';
import { type FeatureFormat, formats } from './formats.js';
import { optimizerSource } from './optimizer.js';

/**
 * Bytes RGBRGB… → (value/255 − mean)/deviation, the fourth channel 0; as `float16` twice: the upper 11 bits, then what is
 * missing from them, so that both together have 22. One thread per pixel.
 */
export const normalizeKernel = (output: 'float32' | 'float16') =>
  defineKernel({
    label: 'normalise',
    params: {
      pixels: 'u32',
      meanRed: 'f32',
      meanGreen: 'f32',
      meanBlue: 'f32',
      deviationRed: 'f32',
      deviationGreen: 'f32',
      deviationBlue: 'f32',
    },
    buffers: { bytes: 'read u32', y: `read_write ${formats[output].element}` },
    body: `
fn byteAt(i: u32) -> f32 { return f32((bytes[i / 4u] >> (8u * (i % 4u))) & 0xffu); }
${linearEntry(`
  if (i >= params.pixels) { return; }
  let color = vec3f(byteAt(3u * i), byteAt(3u * i + 1u), byteAt(3u * i + 2u)) / 255.0;
  let mean = vec3f(params.meanRed, params.meanGreen, params.meanBlue);
  let deviation = vec3f(params.deviationRed, params.deviationGreen, params.deviationBlue);
  let value = vec4f((color - mean) / deviation, 0.0);
${
  output === 'float32'
    ? '  y[i] = value;'
    : `  // Cut off by their bits: compilers may take a value for what is left of it after a conversion there and back.
  let upper = bitcast<vec4f>(bitcast<vec4u>(value) & vec4u(0xffffe000u));
  y[2u * i] = vec4<f16>(upper);
  y[2u * i + 1u] = vec4<f16>(value - upper);`
}`)}`,
  });

/** Adds the head's bias to logits [batch, padded classes]. One thread per logit. */
export const biasKernel = defineKernel({
  label: 'head',
  params: { batch: 'u32', classes: 'u32', padded: 'u32', offset: 'u32' },
  buffers: { logits: 'read_write f32', tensors: 'read f32' },
  body: linearEntry(`
  let class_ = i % params.padded;
  if (i >= params.batch * params.padded || class_ >= params.classes) { return; }
  logits[i] += tensors[params.offset + class_];`),
});

const LOSS_THREADS = 64;

/**
 * One workgroup per image: its cross-entropy, whether its largest logit (the first of equal ones) is the label's, and
 * dL/dlogits = (softmax − one-hot)/batch.
 */
export const lossKernel = defineKernel({
  label: 'loss',
  params: { batch: 'u32', classes: 'u32', padded: 'u32' },
  buffers: {
    logits: 'read f32',
    labels: 'read i32',
    gradient: 'read_write f32',
    perImage: 'read_write f32',
  },
  body: `
var<workgroup> values: array<f32, ${LOSS_THREADS}>;
var<workgroup> classes: array<u32, ${LOSS_THREADS}>;

@compute @workgroup_size(${LOSS_THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let base = group.x * params.padded;
  var best = -3.4e38;
  var bestClass = params.classes;
  for (var c = local; c < params.classes; c += ${LOSS_THREADS}u) {
    if (logits[base + c] > best) { best = logits[base + c]; bestClass = c; }
  }
  values[local] = best;
  classes[local] = bestClass;
  for (var n = ${LOSS_THREADS / 2}u; n > 0u; n /= 2u) {
    workgroupBarrier();
    if (local < n) {
      let other = local + n;
      let tie = values[other] == values[local] && classes[other] < classes[local];
      if (values[other] > values[local] || tie) {
        values[local] = values[other];
        classes[local] = classes[other];
      }
    }
  }
  workgroupBarrier();
  let largest = values[0];
  let predicted = classes[0];
  workgroupBarrier();
  var sum = 0.0;
  for (var c = local; c < params.classes; c += ${LOSS_THREADS}u) { sum += exp(logits[base + c] - largest); }
  values[local] = sum;
  for (var n = ${LOSS_THREADS / 2}u; n > 0u; n /= 2u) {
    workgroupBarrier();
    if (local < n) { values[local] += values[local + n]; }
  }
  workgroupBarrier();
  let total = values[0];
  let label = u32(labels[group.x]);
  for (var c = local; c < params.padded; c += ${LOSS_THREADS}u) {
    var share = 0.0;
    if (c < params.classes) { share = exp(logits[base + c] - largest) / total - select(0.0, 1.0, c == label); }
    gradient[base + c] = share / f32(params.batch);
  }
  if (local == 0u) {
    perImage[2u * group.x] = largest + log(total) - logits[base + label];
    perImage[2u * group.x + 1u] = select(0.0, 1.0, predicted == label);
  }
}`,
});

/**
 * Looks at bits, since compilers take no value for a NaN: `flag` becomes those of one where a value is not finite. ReLUs,
 * quantisers and grids swallow such values, and the loss would be a number. One thread per value.
 */
export const finiteKernel = defineKernel({
  label: 'loss',
  params: { size: 'u32' },
  buffers: { values: 'read u32', flag: 'read_write atomic<u32>' },
  body: linearEntry(`
  if (i >= params.size) { return; }
  if ((values[i] & 0x7f800000u) == 0x7f800000u) { atomicMax(&flag[0], 0x7fc00000u); }`),
});

/** metrics = [mean loss, correct images]; the loss is NaN where `flag` is. One thread: batches are small. */
export const metricsKernel = defineKernel({
  label: 'loss',
  params: { batch: 'u32' },
  buffers: { perImage: 'read f32', flag: 'read u32', metrics: 'read_write f32' },
  body: linearEntry(`
  if (i > 0u) { return; }
  var loss = 0.0;
  var correct = 0.0;
  for (var image = 0u; image < params.batch; image++) {
    loss += perImage[2u * image];
    correct += perImage[2u * image + 1u];
  }
  metrics[0] = select(loss / f32(params.batch), bitcast<f32>(flag[0]), flag[0] != 0u);
  metrics[1] = correct;`),
});

/** The head's bias: its gradient is the sum of dL/dlogits over the batch. One thread per class. */
export function biasUpdateKernel(optimizer: OptimizerSpec) {
  const update = optimizerSource(optimizer);
  return defineKernel({
    label: 'update',
    params: { batch: 'u32', classes: 'u32', padded: 'u32', offset: 'u32' },
    usesStep: true,
    buffers: { dlogits: 'read f32', ...update.buffers },
    body: `${update.functions}
${linearEntry(`
  if (i >= params.classes) { return; }
  var sum = 0.0;
  for (var image = 0u; image < params.batch; image++) { sum += dlogits[image * params.padded + i]; }
  update(params.offset + i, sum, step.learningRateHead);`)}`,
  });
}

/** Adds up gradients that several readers of one tensor hand back. */
export function addKernel(gradients: FeatureFormat) {
  const { element, load, store } = formats[gradients];
  return defineKernel({
    label: 'element-wise gradient',
    params: { size: 'u32' },
    buffers: { a: `read ${element}`, b: `read ${element}`, sum: `read_write ${element}` },
    body: linearEntry(`
  if (i >= params.size) { return; }
  sum[i] = ${store(`${load('a[i]')} + ${load('b[i]')}`)};`),
  });
}
