/** @file Batch norm fitted to what a quantised network computes, from per-channel moments of convolution outputs. */
import type { Backbone } from './backbone.js';
import { BATCH_NORM_EPSILON, type BatchNormLayer, type LayerGraph } from './graph.js';
import { sealBackbone } from './hash.js';
import { type CalibrationSource, visitTaps } from './probe.js';

/**
 * `statistics`: running mean and variance of the calibration images in the quantised network.
 * `shift`: the running mean and variance of the float network, moved and scaled as quantisation moved and scaled those
 * of the calibration images: what is particular to these images cancels out.
 * `regression`: as `shift`, and the weight also carries the correlation ρ of quantised and float outputs, which
 * makes the squared error after the batch norm smallest.
 */
export type BatchNormRule = 'statistics' | 'shift' | 'regression';

/** Sums over images and positions of one channel; x: float network, q: quantised network. */
class ChannelMoments {
  count = 0;
  readonly x: Float64Array;
  readonly q: Float64Array;
  readonly xx: Float64Array;
  readonly qq: Float64Array;
  readonly xq: Float64Array;

  constructor(readonly channels: number) {
    [this.x, this.q, this.xx, this.qq, this.xq] = Array.from({ length: 5 }, () => new Float64Array(channels));
  }

  /** @param float and @param quantized [images, channels, height, width] */
  add(float: Float32Array, quantized: Float32Array, images: number): void {
    const plane = float.length / images / this.channels;
    this.count += images * plane;
    for (let image = 0, i = 0; image < images; image++) {
      for (let channel = 0; channel < this.channels; channel++) {
        let [x, q, xx, qq, xq] = [0, 0, 0, 0, 0];
        for (const end = i + plane; i < end; i++) {
          const a = float[i];
          const b = quantized[i];
          x += a;
          q += b;
          xx += a * a;
          qq += b * b;
          xq += a * b;
        }
        this.x[channel] += x;
        this.q[channel] += q;
        this.xx[channel] += xx;
        this.qq[channel] += qq;
        this.xq[channel] += xq;
      }
    }
  }

  at(channel: number) {
    const n = this.count;
    const x = this.x[channel] / n;
    const q = this.q[channel] / n;
    return {
      meanX: x,
      meanQ: q,
      varianceX: Math.max(0, this.xx[channel] / n - x * x),
      varianceQ: Math.max(0, this.qq[channel] / n - q * q),
      covariance: this.xq[channel] / n - x * q,
    };
  }
}

/**
 * Fits all batch-norm layers of a quantised backbone, from the first to the last: each sees what the corrected layers
 * before it put out. (All at once diverges: every layer would make up for the errors of all layers before it.)
 */
export async function correctBatchNorms(
  float: Backbone,
  quantized: Backbone,
  rule: BatchNormRule,
  source: CalibrationSource,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<Backbone> {
  const waves = batchNormWaves(quantized.graph);
  let corrected = quantized;
  for (const [done, layers] of waves.entries()) {
    onProgress(done, waves.length);
    const tensors = await fitLayers(float, corrected, rule, source, layers);
    corrected = { ...corrected, batchNorms: { ...corrected.batchNorms, ...tensors } };
  }
  onProgress(waves.length, waves.length);
  return sealBackbone(corrected);
}

/** Batch-norm layers in groups: those with equally many batch norms before them, on the longest way. */
export function batchNormWaves(graph: LayerGraph): BatchNormLayer[][] {
  const depths = new Map([['input', 0]]);
  const waves: BatchNormLayer[][] = [];
  for (const layer of graph.layers) {
    const before = Math.max(...layer.inputs.map((input) => depths.get(input)!));
    depths.set(layer.name, layer.kind === 'batchNorm' ? before + 1 : before);
    if (layer.kind !== 'batchNorm') continue;
    waves[before] ??= [];
    waves[before].push(layer);
  }
  return waves;
}

async function fitLayers(
  float: Backbone,
  quantized: Backbone,
  rule: BatchNormRule,
  source: CalibrationSource,
  layers: readonly BatchNormLayer[],
): Promise<Record<string, Float32Array>> {
  const moments = new Map(layers.map((layer) => [layer.inputs[0], new ChannelMoments(layer.channels)]));
  const variants = rule === 'statistics' ? [quantized] : [float, quantized];
  await visitTaps(source, variants, [...moments.keys()], (taps, images) => {
    for (const [conv, sums] of moments) sums.add(taps[0][conv], taps[taps.length - 1][conv], images);
  });
  const tensors: Record<string, Float32Array> = {};
  for (const layer of layers) {
    Object.assign(tensors, fitLayer(float.batchNorms, layer, moments.get(layer.inputs[0])!, rule));
  }
  return tensors;
}

function fitLayer(
  float: Backbone['batchNorms'],
  { name, channels }: BatchNormLayer,
  moments: ChannelMoments,
  rule: BatchNormRule,
): Record<string, Float32Array> {
  const weight = float[`${name}.weight`].slice();
  const mean = float[`${name}.running_mean`].slice();
  const variance = float[`${name}.running_var`].slice();
  for (let channel = 0; channel < channels; channel++) {
    const { meanX, meanQ, varianceX, varianceQ, covariance } = moments.at(channel);
    if (rule === 'statistics') {
      mean[channel] = meanQ;
      variance[channel] = (varianceQ * moments.count) / Math.max(1, moments.count - 1);
      continue;
    }
    mean[channel] += meanQ - meanX;
    // A channel that is constant, or all but constant, keeps its variance: the ratio would be noise.
    if (varianceX < BATCH_NORM_EPSILON || varianceQ < BATCH_NORM_EPSILON) continue;
    variance[channel] *= varianceQ / varianceX;
    if (rule === 'regression') weight[channel] *= Math.max(0, covariance / Math.sqrt(varianceX * varianceQ));
  }
  return {
    [`${name}.weight`]: weight,
    [`${name}.bias`]: float[`${name}.bias`].slice(),
    [`${name}.running_mean`]: mean,
    [`${name}.running_var`]: variance,
  };
}
