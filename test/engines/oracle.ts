/**
 * @file A second, independent forward pass in float64: plain loops, channels first, no library. Every step function s
 * (mask, quantiser) can be replaced by s(x₀) + f(x) − f(x₀), f being the function whose gradient its straight-through
 * rule borrows: equal to s at the base point x₀, and differentiable. Finite differences of that surrogate are the
 * gradients that training must find.
 */
import { rowsPerBit } from '../../src/adaption/geometry.js';
import type { MethodSpec } from '../../src/adaption/method.js';
import { gumbelNoise } from '../../src/adaption/noise.js';
import type { Batch } from '../../src/data/batch.js';
import { type Backbone, dequantize } from '../../src/model/backbone.js';
import type { ConvLayer, LayerGraph, MaxPoolLayer } from '../../src/model/graph.js';

type Values = Float64Array<ArrayBuffer>;

/** [batch, channels, height, width] */
interface Activation {
  readonly shape: readonly [batch: number, channels: number, height: number, width: number];
  readonly values: Values;
}

export interface OracleInput {
  readonly graph: LayerGraph;
  readonly backbone: Backbone;
  readonly method: MethodSpec;
  readonly imageSize: number;
  /** Of the task, by name. */
  readonly tensors: Readonly<Record<string, ArrayLike<number>>>;
  readonly batch: Batch;
  /** Batch statistics as the method says, and noise; else inference. */
  readonly training: { readonly seed: number; readonly step: number } | null;
}

/** s(x₀) − f(x₀) of every step function, by layer name. */
export type Offsets = ReadonlyMap<string, Values>;

export interface OracleResult {
  readonly loss: number;
  /** [batch, classes] */
  readonly logits: Values;
  /** By layer name. */
  readonly outputs: ReadonlyMap<string, Activation>;
  /** Of batch norm layers that use the batch's. */
  readonly statistics: ReadonlyMap<string, { mean: Values; unbiasedVariance: Values }>;
  readonly offsets: Offsets;
  /** Smallest distance of any value to a jump or kink it could fall on the other side of in float32. */
  readonly margin: number;
}

/** @param base of an earlier result: computes the surrogate around it instead of the steps */
export function oracle(input: OracleInput, base?: Offsets): OracleResult {
  const { graph, backbone, method, tensors, batch } = input;
  const offsets = new Map<string, Values>();
  const statistics = new Map<string, { mean: Values; unbiasedVariance: Values }>();
  const near = new Margin();
  const step: Step = (name, x, smooth, hard) => {
    const values = x.map(smooth);
    const offset = base?.get(name) ?? x.map((value, i) => hard(value, i) - values[i]);
    offsets.set(name, offset);
    return values.map((value, i) => value + offset[i]);
  };
  const outputs = new Map<string, Activation>([['input', normalizedInput(input)]]);
  for (const layer of graph.layers) {
    const x = outputs.get(layer.inputs[0])!;
    const tensor = (suffix: string) => Float64Array.from(tensors[`${layer.name}.${suffix}`]);
    const each = (f: (value: number, i: number) => number) => ({ shape: x.shape, values: x.values.map(f) });
    let output: Activation;
    switch (layer.kind) {
      case 'conv':
        output = convolve(x, effectiveWeight(layer, input, step, near), layer);
        break;
      case 'batchNorm': {
        let [mean, variance] = [tensor('running_mean'), tensor('running_var')];
        if (input.training && method.trainBatchNorm) {
          let unbiasedVariance: Values;
          [mean, variance, unbiasedVariance] = moments(x);
          statistics.set(layer.name, { mean, unbiasedVariance });
        }
        output = batchNorm(x, mean, variance, tensor('weight'), tensor('bias'));
        break;
      }
      case 'relu':
        for (const value of x.values) near.add(Math.abs(value));
        output = each((value) => Math.max(value, 0));
        break;
      case 'quantize': {
        const clip = backbone.clips[layer.name];
        output = backbone.activationBits === 32 || clip === undefined ? x : quantize(layer.name, x, clip);
        break;
      }
      case 'maxPool':
        output = maxPool(x, layer, near);
        break;
      case 'add': {
        const other = outputs.get(layer.inputs[1])!;
        output = each((value, i) => value + other.values[i]);
        break;
      }
      case 'globalAveragePool':
        output = globalAveragePool(x);
        break;
      case 'linear':
        output = linear(x, tensor('weight'), tensor('bias'));
        break;
    }
    outputs.set(layer.name, output);
  }
  const logits = outputs.get(graph.layers.at(-1)!.name)!.values;
  return {
    loss: crossEntropy(logits, batch.labels),
    logits,
    outputs,
    statistics,
    offsets,
    margin: near.value,
  };

  function quantize(name: string, x: Activation, clip: number): Activation {
    const levels = 2 ** backbone.activationBits - 1;
    const clipped = (value: number) => Math.min(Math.max(value, 0), clip);
    for (const value of x.values) {
      near.addRounding((clipped(value) / clip) * levels);
      if (value !== 0) near.add(Math.min(Math.abs(value), Math.abs(value - clip)));
    }
    const hard = (value: number) => (roundTiesToEven((clipped(value) / clip) * levels) * clip) / levels;
    return { shape: x.shape, values: step(name, x.values, clipped, hard) };
  }
}

type Step = (
  name: string,
  x: Values,
  smooth: (value: number, i: number) => number,
  hard: (value: number, i: number) => number,
) => Values;

/** The smallest of the distances it is told. */
class Margin {
  value = Number.POSITIVE_INFINITY;

  add(distance: number): void {
    if (distance < this.value) this.value = distance;
  }

  /** Distance of x to the next boundary between two integers it could round to. */
  addRounding(x: number): void {
    this.add(Math.abs(x - Math.floor(x) - 0.5));
  }
}

function roundTiesToEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

function normalizedInput({ batch, imageSize, backbone }: OracleInput): Activation {
  const { mean, std } = backbone.normalization;
  const area = imageSize * imageSize;
  const values = new Float64Array(batch.pixels.length);
  batch.pixels.forEach((pixel, i) => {
    const [channel, position, image] = [i % 3, Math.floor(i / 3) % area, Math.floor(i / 3 / area)];
    values[(image * 3 + channel) * area + position] = (pixel / 255 - mean[channel]) / std[channel];
  });
  return { shape: [batch.labels.length, 3, imageSize, imageSize], values };
}

function effectiveWeight(
  conv: ConvLayer,
  { backbone, method, tensors, training }: OracleInput,
  step: Step,
  near: Margin,
): Values {
  const frozen = backbone.convs[conv.name];
  const filter = conv.inChannels * conv.kernel ** 2;
  if (method.trainWeights) {
    const weights = Float64Array.from(tensors[`${conv.name}.weight`]);
    if (frozen.kind === 'float') return weights;
    const limit = 2 ** (frozen.bits - 1) - 1;
    const scale = (i: number) => frozen.scales[Math.floor(i / filter)];
    const clipped = (w: number, i: number) => Math.min(Math.max(w, -limit * scale(i)), limit * scale(i));
    weights.forEach((w, i) => {
      near.addRounding(clipped(w, i) / scale(i));
      near.add(Math.abs(Math.abs(w / scale(i)) - limit));
    });
    return step(conv.name, weights, clipped, (w, i) => roundTiesToEven(clipped(w, i) / scale(i)) * scale(i));
  }
  const weights = Float64Array.from(dequantize(frozen));
  const { mask } = method;
  if (!mask) return weights;
  const scores = Float64Array.from(tensors[`${conv.name}.scores`]);
  const noise =
    training && mask.noise ? gumbelNoise(training.seed, training.step, conv.name, scores.length) : null;
  const argument = (score: number, i: number) => mask.slope * (score - mask.threshold) + (noise?.[i] ?? 0);
  scores.forEach((score, i) => {
    // Scores carry no error of earlier layers: only their own rounding, about 1e-8.
    near.add(30 * Math.abs(mask.binarizer === 'identity' ? score - mask.threshold : argument(score, i)));
  });
  const bits =
    mask.binarizer === 'identity'
      ? step(
          conv.name,
          scores,
          (score) => score,
          (score) => Number(score > mask.threshold),
        )
      : step(
          conv.name,
          scores,
          (score, i) => 1 / (1 + Math.exp(-argument(score, i))),
          (score, i) => Number(argument(score, i) >= 0),
        );
  const rows = rowsPerBit(conv, mask);
  const bitsPerFilter = bits.length / conv.outChannels;
  return weights.map(
    (w, i) => w * bits[Math.floor(i / filter) * bitsPerFilter + Math.floor((i % filter) / rows)],
  );
}

/** @param weight [outC, inC, k, k] */
function convolve(
  { shape: [batch, inChannels, height, width], values }: Activation,
  weight: Values,
  layer: ConvLayer,
): Activation {
  const { outChannels, kernel, stride, padding } = layer;
  const size = (input: number) => Math.floor((input + 2 * padding - kernel) / stride) + 1;
  const [outHeight, outWidth] = [size(height), size(width)];
  const out = new Float64Array(batch * outChannels * outHeight * outWidth);
  let at = 0;
  for (let n = 0; n < batch; n++)
    for (let o = 0; o < outChannels; o++)
      for (let y = 0; y < outHeight; y++)
        for (let x = 0; x < outWidth; x++) {
          let sum = 0;
          for (let c = 0; c < inChannels; c++)
            for (let kh = 0; kh < kernel; kh++) {
              const row = y * stride + kh - padding;
              if (row < 0 || row >= height) continue;
              for (let kw = 0; kw < kernel; kw++) {
                const column = x * stride + kw - padding;
                if (column < 0 || column >= width) continue;
                sum +=
                  values[((n * inChannels + c) * height + row) * width + column] *
                  weight[((o * inChannels + c) * kernel + kh) * kernel + kw];
              }
            }
          out[at++] = sum;
        }
  return { shape: [batch, outChannels, outHeight, outWidth], values: out };
}

/** Mean, biased and unbiased variance per channel. */
function moments({ shape: [batch, channels, height, width], values }: Activation): [Values, Values, Values] {
  const area = height * width;
  const count = batch * area;
  const mean = new Float64Array(channels);
  const squares = new Float64Array(channels);
  const channel = (i: number) => Math.floor(i / area) % channels;
  values.forEach((value, i) => {
    mean[channel(i)] += value / count;
  });
  values.forEach((value, i) => {
    squares[channel(i)] += (value - mean[channel(i)]) ** 2;
  });
  return [mean, squares.map((sum) => sum / count), squares.map((sum) => sum / (count - 1))];
}

function batchNorm(
  { shape, values }: Activation,
  mean: Values,
  variance: Values,
  weight: Values,
  bias: Values,
): Activation {
  const [, channels, height, width] = shape;
  return {
    shape,
    values: values.map((value, i) => {
      const c = Math.floor(i / (height * width)) % channels;
      return ((value - mean[c]) / Math.sqrt(variance[c] + 1e-5)) * weight[c] + bias[c];
    }),
  };
}

function maxPool(
  { shape: [batch, channels, height, width], values }: Activation,
  layer: MaxPoolLayer,
  near: Margin,
): Activation {
  const { kernel, stride, padding } = layer;
  const size = (input: number) => Math.floor((input + 2 * padding - kernel) / stride) + 1;
  const [outHeight, outWidth] = [size(height), size(width)];
  const out: number[] = [];
  for (let plane = 0; plane < batch * channels; plane++)
    for (let y = 0; y < outHeight; y++)
      for (let x = 0; x < outWidth; x++) {
        const window: number[] = [];
        for (let row = y * stride - padding; row < y * stride - padding + kernel; row++)
          for (let column = x * stride - padding; column < x * stride - padding + kernel; column++)
            if (row >= 0 && row < height && column >= 0 && column < width)
              window.push(values[(plane * height + row) * width + column]);
        window.sort((a, b) => b - a);
        if (window[0] > 0 && window.length > 1) near.add(window[0] - window[1]);
        out.push(window[0]);
      }
  return { shape: [batch, channels, outHeight, outWidth], values: Float64Array.from(out) };
}

function globalAveragePool({ shape: [batch, channels, height, width], values }: Activation): Activation {
  const area = height * width;
  const out = new Float64Array(batch * channels);
  values.forEach((value, i) => {
    out[Math.floor(i / area)] += value / area;
  });
  return { shape: [batch, channels, 1, 1], values: out };
}

function linear({ shape: [batch, features], values }: Activation, weight: Values, bias: Values): Activation {
  const classes = bias.length;
  const out = new Float64Array(batch * classes).map((_, i) => {
    const [image, unit] = [Math.floor(i / classes), i % classes];
    let sum = bias[unit];
    for (let f = 0; f < features; f++) sum += values[image * features + f] * weight[unit * features + f];
    return sum;
  });
  return { shape: [batch, classes, 1, 1], values: out };
}

function crossEntropy(logits: Values, labels: Int32Array): number {
  const classes = logits.length / labels.length;
  let loss = 0;
  labels.forEach((label, n) => {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
    loss += (Math.log(sum) - row[label]) / labels.length;
  });
  return loss;
}
