/** @file From a float backbone to a frozen low-bit one, by looking at images only: nothing is trained. */
import { type Backbone, dequantize } from './backbone.js';
import { type BatchNormRule, correctBatchNorms } from './batchNormCorrection.js';
import { type ClipRule, calibrateClips } from './calibrateClips.js';
import { sealBackbone } from './hash.js';
import { inputCovariances } from './inputCovariance.js';
import type { CalibrationSource } from './probe.js';
import { quantizeBackbone, type WeightScale } from './quantize.js';
import { roundWithFeedback } from './roundWeights.js';

/** `nearest` level, or `feedback`: {@link roundWithFeedback} by the covariances of the layers' inputs. */
export type Rounding = 'nearest' | 'feedback';

export interface QuantizationOptions {
  /** 2 … 8, or 32: weights stay as they are. */
  readonly weightBits: number;
  /** 2 … 8, or 32: no activation is quantised. */
  readonly activationBits: number;
  readonly weightScale: WeightScale;
  readonly rounding: Rounding;
  readonly clips: ClipRule;
  /** `keep`: the float network's batch norm as it is. */
  readonly batchNorm: BatchNormRule | 'keep';
}

/** The choices that lose least on the real ResNet-50: docs/calibration.md. */
export const bestCalibration = {
  rounding: 'feedback',
  clips: 'percentile',
  batchNorm: 'statistics',
} as const;

/**
 * Quantises the weights, measures the activation clips in the float network, and corrects the batch norms of the
 * quantised one.
 * @param float a full-precision backbone
 */
export async function calibrateBackbone(
  float: Backbone,
  options: QuantizationOptions,
  source: CalibrationSource,
  onProgress?: (done: number, total: number) => void,
): Promise<Backbone> {
  const { weightBits, activationBits, weightScale, clips: rule, batchNorm } = options;
  if (weightBits === 32 && activationBits === 32) return float;
  const clips = activationBits === 32 ? {} : await calibrateClips(float, activationBits, rule, source);
  const nearest = quantizeBackbone(float, weightBits, weightScale);
  const weights =
    options.rounding === 'feedback' && weightBits < 32
      ? await improveRounding(float, nearest, source)
      : nearest;
  const quantized = sealBackbone({ ...weights, clips, activationBits });
  if (batchNorm === 'keep') return quantized;
  return correctBatchNorms(float, quantized, batchNorm, source, onProgress);
}

async function improveRounding(
  float: Backbone,
  nearest: Backbone,
  source: CalibrationSource,
): Promise<Backbone> {
  const convs = { ...nearest.convs };
  for (const [name, blocks] of await inputCovariances(float, source)) {
    const grid = convs[name];
    if (grid.kind === 'levels') convs[name] = roundWithFeedback(dequantize(float.convs[name]), grid, blocks);
  }
  return { ...nearest, convs };
}
