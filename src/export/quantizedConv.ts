/** @file Convolutions of uint8 levels, channels last: to the next levels, or to float32. */
import type { FoldedNetwork } from '../adaption/fold.js';
import { windowAttributes } from '../engines/onnx/common.js';
import type { ConvWeights } from '../model/backbone.js';
import type { ConvLayer } from '../model/graph.js';
import { batchNormAffine } from './batchNorm.js';
import { clipLevels, type ExportContext } from './common.js';
import { type Requantization, requantize, type Staircase } from './requantize.js';

/** Levels 0 … top, uint8 [batch, height, width, channels]; value = level · scale. */
export interface LevelsValue {
  readonly name: string;
  readonly scale: number;
}

/** How well integer requantisation matches the real-valued rule. */
export interface Exactness {
  /** Output channels that are requantised, over all tasks. */
  channels: number;
  /** Those of them whose steps all fall between the right integers. */
  exactChannels: number;
}

/** QLinearConv with batch norm, ReLU and the next quantiser in its requantisation. */
export function emitConvToLevels(
  context: ExportContext,
  conv: ConvLayer,
  batchNorm: string,
  input: LevelsValue,
  outputScale: number,
  exactness: Exactness,
): string {
  const { builder, networks, weights } = context;
  const { top, multiplier, offset } = integerForm(networks[0], conv);
  const perTask = networks.map((network) =>
    channelRules(network, conv, batchNorm, { input: input.scale, output: outputScale }).map((rule) =>
      requantize({ ...rule, top }, multiplier),
    ),
  );
  for (const rules of perTask) {
    exactness.channels += rules.length;
    exactness.exactChannels += rules.filter(({ misplaced }) => misplaced === 0).length;
  }
  const pick = (key: keyof Requantization, type: typeof Float32Array | typeof Int32Array) =>
    weights.vector(perTask.map((rules) => type.from(rules.map((rule) => rule[key]))));
  const [one, zero] = [builder.scalar(1), builder.constant(Uint8Array.of(0), [])];
  const weight = weights.levels(conv, 'filters', multiplier, offset);
  const weightScale = pick('scale', Float32Array);
  const bias = pick('bias', Int32Array);
  const weightZero = zeroPoint(context, offset);
  const levels = builder.op(
    'com.microsoft:QLinearConv',
    [input.name, one, zero, weight, weightScale, weightZero, one, zero, bias],
    { ...windowAttributes(conv), channels_last: 1 },
  );
  return clipLevels(builder, levels, top);
}

/** The batch norm's float32 output, channels last: factor · (integer sum) + shift. */
export function emitConvToFloat(
  context: ExportContext,
  conv: ConvLayer,
  batchNorm: string,
  input: LevelsValue,
): string {
  const { builder, networks, weights } = context;
  const { offset } = integerForm(networks[0], conv);
  const affine = networks.map((network) => batchNormAffine(network, batchNorm));
  const factors = weights.vector(
    networks.map((network, task) =>
      levelsOf(network, conv).scales.map((scale, c) => input.scale * scale * affine[task].gain[c]),
    ),
  );
  const shifts = weights.vector(affine.map(({ shift }) => Float32Array.from(shift)));
  const weightZero = zeroPoint(context, offset);
  if (conv.kernel === 1) {
    const pixels = everyPixel(context, input.name, conv.stride);
    const matrix = weights.levels(conv, 'columns', 1, offset);
    const inputs = [pixels, matrix, builder.scalar(1), factors, '', offset ? weightZero : '', shifts];
    return builder.op('com.microsoft:MatMulIntegerToFloat', inputs);
  }
  const channelsFirst = builder.op('Transpose', [input.name], { perm: [0, 3, 1, 2] });
  const filters = weights.levels(conv, 'filters', 1, offset);
  const inputs = [channelsFirst, filters, ...(offset ? ['', weightZero] : [])];
  const sums = builder.op('ConvInteger', inputs, windowAttributes(conv));
  const channelsLast = builder.op('Transpose', [sums], { perm: [0, 2, 3, 1] });
  const scaled = builder.op('Mul', [builder.op('Cast', [channelsLast], { to: 1 }), factors]);
  return builder.op('Add', [scaled, shifts]);
}

/** How a convolution's levels are stored. */
interface IntegerForm {
  /** Highest activation level. */
  readonly top: number;
  /** Levels are multiplied by this where sums are requantised: the bias gets finer. */
  readonly multiplier: number;
  /** Weights are uint8, 128 above their level. */
  readonly offset: boolean;
}

/**
 * On x86 without VNNI, uint8 × int8 products are added in pairs in saturating int16, so 2 · top · |weight| must stay
 * below 2^15. Where levels alone pass that, uint8 weights take the path that has no such pairs.
 */
function integerForm(network: FoldedNetwork, conv: ConvLayer): IntegerForm {
  const top = 2 ** network.activationBits - 1;
  const limit = 2 ** (levelsOf(network, conv).bits - 1) - 1;
  const multiplier = Math.floor(Math.min(127, 32767 / (2 * top)) / limit);
  return { top, multiplier: Math.max(1, multiplier), offset: multiplier < 1 };
}

/** Of each output channel: level = round(a · sum + b), and the sums that its weights allow. */
function channelRules(
  network: FoldedNetwork,
  conv: ConvLayer,
  batchNorm: string,
  scales: { readonly input: number; readonly output: number },
): Omit<Staircase, 'top'>[] {
  const weights = levelsOf(network, conv);
  const { gain, shift } = batchNormAffine(network, batchNorm);
  const rows = weights.levels.length / conv.outChannels;
  const top = 2 ** network.activationBits - 1;
  return Array.from({ length: conv.outChannels }, (_, channel) => {
    const filter = weights.levels.subarray(channel * rows, (channel + 1) * rows);
    const sum = (sign: number) => filter.reduce((total, level) => total + Math.max(0, sign * level), 0);
    return {
      a: (scales.input * weights.scales[channel] * gain[channel]) / scales.output,
      b: shift[channel] / scales.output,
      sums: [-top * sum(-1), top * sum(1)],
    };
  });
}

function levelsOf(network: FoldedNetwork, conv: ConvLayer): ConvWeights & { kind: 'levels' } {
  const weights = network.convs[conv.name];
  if (weights.kind === 'float') throw new Error(`${conv.name} has no levels`);
  return weights;
}

function zeroPoint({ builder }: ExportContext, offset: boolean): string {
  return builder.constant(offset ? Uint8Array.of(128) : Int8Array.of(0), []);
}

/** Every `stride`-th row and column of [batch, height, width, channels]. */
function everyPixel({ builder }: ExportContext, name: string, stride: number): string {
  if (stride === 1) return name;
  const end = 2 ** 31;
  const bounds = [builder.ints(0, 0), builder.ints(end, end), builder.ints(1, 2)];
  return builder.op('Slice', [name, ...bounds, builder.ints(stride, stride)]);
}
