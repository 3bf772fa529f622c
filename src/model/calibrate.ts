/** @file From a float backbone to a frozen low-bit one, by looking at images only: nothing is trained. */
import type { Backbone } from './backbone.js';
import { type BatchNormRule, correctBatchNorms } from './batchNormCorrection.js';
import { type ClipRule, calibrateClips } from './calibrateClips.js';
import { sealBackbone } from './hash.js';
import type { CalibrationSource } from './probe.js';
import { quantizeBackbone, type WeightScale } from './quantize.js';

export interface QuantizationOptions {
  /** 2 … 8, or 32: weights stay as they are. */
  readonly weightBits: number;
  /** 2 … 8, or 32: no activation is quantised. */
  readonly activationBits: number;
  readonly weightScale: WeightScale;
  readonly clips: ClipRule;
  /** `keep`: the float network's batch norm as it is. */
  readonly batchNorm: BatchNormRule | 'keep';
}

/** The choices that lose least on the real ResNet-50: docs/calibration.md. */
export const bestCalibration = { clips: 'percentile', batchNorm: 'statistics' } as const;

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
  const weights = quantizeBackbone(float, weightBits, weightScale);
  const quantized = sealBackbone({ ...weights, clips, activationBits });
  if (batchNorm === 'keep') return quantized;
  return correctBatchNorms(float, quantized, batchNorm, source, onProgress);
}
