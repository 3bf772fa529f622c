/** @file Convolutions of uint8 levels, channels last: to the next levels, or to float32. */
import type { FoldedNetwork } from '../../../adaption/fold.js';
import { type ConvWeights, levelLimit } from '../../../model/backbone.js';
import type { ConvLayer } from '../../../model/graph.js';
import { windowAttributes } from '../common.js';
import { batchNormAffine } from './batchNorm.js';
import { clipLevels, emitLevels, type FrozenContext } from './emit.js';
import { type Requantization, requantize, type Staircase } from './requantize.js';
import { emitWindows } from './windows.js';

/** Levels 0 … top, uint8 [batch, height, width, channels]; value = level · scale. */
export interface LevelsValue {
  readonly name: string;
  readonly scale: number;
}

/** Real values of one level before and after a convolution. */
interface Scales {
  readonly input: number;
  readonly output: number;
}

/** How convolutions that feed a quantiser get their levels from their sums. */
export interface Requantizations {
  /** In integers, inside QLinearConv. */
  integer: number;
  /** In float32, because an int32 bias is too coarse for some channel of some task. */
  float: number;
}

/** The levels after batch norm, ReLU and the next quantiser: always those of the real-valued rule. */
export function emitConvToLevels(
  context: FrozenContext,
  conv: ConvLayer,
  batchNorm: string,
  input: LevelsValue,
  outputScale: number,
  requantizations: Requantizations,
): string {
  const exact = exactRequantizations(context, conv, batchNorm, { input: input.scale, output: outputScale });
  requantizations[exact ? 'integer' : 'float']++;
  if (exact) return emitQLinearConv(context, conv, input, exact);
  const { top } = integerForm(context.networks[0], conv);
  return emitLevels(context.builder, emitConvToFloat(context, conv, batchNorm, input), outputScale, top);
}

/** For each task and output channel; null when some channel's steps cannot all be put between the right integers. */
function exactRequantizations(
  { networks }: FrozenContext,
  conv: ConvLayer,
  batchNorm: string,
  scales: Scales,
): Requantization[][] | null {
  const { top, multiplier } = integerForm(networks[0], conv);
  const perTask: Requantization[][] = [];
  for (const network of networks) {
    const channels: Requantization[] = [];
    for (const rule of channelRules(network, conv, batchNorm, scales)) {
      const found = requantize({ ...rule, top }, multiplier);
      if (found.misplaced > 0) return null;
      channels.push(found);
    }
    perTask.push(channels);
  }
  return perTask;
}

/** QLinearConv with batch norm, ReLU and the next quantiser in its requantisation. */
function emitQLinearConv(
  context: FrozenContext,
  conv: ConvLayer,
  input: LevelsValue,
  perTask: readonly (readonly Requantization[])[],
): string {
  const { builder, networks, weights } = context;
  const { top, multiplier, offset } = integerForm(networks[0], conv);
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
  context: FrozenContext,
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
  const windows = emitWindows(context, conv, input.name);
  const matrix = weights.levels(conv, 'columns', 1, offset);
  const weightZero = offset ? zeroPoint(context, offset) : '';
  const inputs = [windows, matrix, builder.scalar(1), factors, '', weightZero, shifts];
  return builder.op('com.microsoft:MatMulIntegerToFloat', inputs);
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
  const limit = levelLimit(levelsOf(network, conv).bits);
  const multiplier = Math.floor(Math.min(127, 32767 / (2 * top)) / limit);
  return { top, multiplier: Math.max(1, multiplier), offset: multiplier < 1 };
}

/** Of each output channel: level = round(a · sum + b), and the sums that its weights allow. */
function channelRules(
  network: FoldedNetwork,
  conv: ConvLayer,
  batchNorm: string,
  scales: Scales,
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

function zeroPoint({ builder }: FrozenContext, offset: boolean): string {
  return builder.constant(offset ? Uint8Array.of(128) : Int8Array.of(0), []);
}
