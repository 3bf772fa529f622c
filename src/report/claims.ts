/**
 * @file Claims of XBM (abstract and slides) and of its sister paper XMA (abstract) beside what this model gives for them.
 */
import { columnSegments, layerWeights, mappedLayers } from '../hardware/network.js';
import { type HardwareReport, type MethodCosts, savedPercent } from './hardwareReport.js';

export interface Claim {
  readonly claim: string;
  readonly source: string;
  /** "Our reading": the claim does not say what was computed. */
  readonly verdict:
    | 'reproduced'
    | 'not reproduced'
    | 'consistent with our reading'
    | 'not consistent with our reading'
    | 'not applicable';
  readonly own: string;
  /** Numbers behind `own`, for machines. */
  readonly values: Readonly<Record<string, number>>;
}

/** The claims are about ResNet-50; on other networks they do not apply. */
export function checkClaims(report: HardwareReport): Claim[] {
  return [energyClaim(report), ...maskClaims(report), reprogrammingClaim(report)];
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

function costsOf(report: HardwareReport, method: 'xbm' | 'piggyback'): MethodCosts[] {
  return Object.values(report.tasks).flatMap((task) => task.methods[method] ?? []);
}

function notApplicable(claim: string, source: string, why: string): Claim {
  return { claim, source, verdict: 'not applicable', own: why, values: {} };
}

/** "up to 40 %" energy saved. */
function energyClaim(report: HardwareReport): Claim {
  const claim = 'XBM saves up to 40 % energy';
  const source = 'XBM abstract (ASP-DAC 2022); how it was derived is not published';
  const xbm = costsOf(report, 'xbm');
  if (!isResNet50(report)) return notApplicable(claim, source, 'about ResNet-50 at 224×224');
  if (xbm.length === 0) return notApplicable(claim, source, 'no XBM result');
  const arraysOf = (rows: MethodCosts['energyRowsMicrojoules']) =>
    rows.switchMatrix + rows.adc + rows.shiftAddInput + rows.shiftAddWeight;
  const total = Math.max(...xbm.map(savedPercent));
  const arrays = Math.max(
    ...xbm.map(
      ({ energyRowsMicrojoules: rows, withoutMasks }) =>
        100 * (1 - arraysOf(rows) / arraysOf(withoutMasks.energyRowsMicrojoules)),
    ),
  );
  return {
    claim,
    source,
    verdict: total >= 39.5 && total < 40.5 ? 'reproduced' : 'not reproduced',
    own: `up to ${total.toFixed(1)} % per image in all; up to ${arrays.toFixed(1)} % of the array energy alone`,
    values: { savingPerImagePercent: total, savingInArraysPercent: arrays },
  };
}

/** "1.4 %" of Piggyback's masks, "40 KB". */
function maskClaims(report: HardwareReport): Claim[] {
  const size = 'XBM masks take 1.4 % of Piggyback’s';
  const bytes = 'XBM masks take 40 KB';
  const source = 'XBM abstract and slides (ASP-DAC 2022)';
  if (!isResNet50(report)) {
    return [size, bytes].map((claim) => notApplicable(claim, source, 'about ResNet-50'));
  }
  const rows = report.hardware.array.rows.value;
  const layers = mappedLayers(report.network, 'digital');
  const bits = layers.reduce((sum, layer) => sum + columnSegments(layer, rows), 0);
  const weights = layers.reduce((sum, layer) => sum + layerWeights(layer), 0);
  const percent = (100 * bits) / weights;
  const kilobytes = bits / 8 / 1000;
  const kibibytes = bits / 8 / 1024;
  return [
    {
      claim: size,
      source,
      verdict: percent.toFixed(1) === '1.4' ? 'reproduced' : 'not reproduced',
      own: `${percent.toFixed(3)} %: ${bits.toLocaleString('en-US')} of ${weights.toLocaleString('en-US')} bits`,
      values: { percent, bits, weights },
    },
    {
      claim: bytes,
      source,
      verdict: Math.abs(kibibytes - 40) <= 2 ? 'reproduced' : 'not reproduced',
      own: `${kilobytes.toFixed(1)} kB (${kibibytes.toFixed(1)} KiB; up to 5 % apart counts); NN-IMC prints the energy of 40,000 mask bits, an eighth of 40 KB, beside its total and not in it`,
      values: { bytes: bits / 8 },
    },
  ];
}

/** XMA's "~4.3x" over Piggyback, and the ratio that concerns XBM. */
function reprogrammingClaim(report: HardwareReport): Claim {
  const claim =
    'XMA: “by eliminating cell re-programming, XMA achieves ~4.3x higher energy efficiency than Piggyback”';
  const source =
    'abstract of XMA (DAC 2022), the sister paper of XBM; our reading: Piggyback’s (inference + reprogramming) / inference';
  const piggyback = costsOf(report, 'piggyback');
  if (!isResNet50(report)) return notApplicable(claim, source, 'about ResNet-50 at 224×224');
  if (piggyback.length === 0) return notApplicable(claim, source, 'no Piggyback result');
  const toInference = mean(piggyback.map((costs) => costs.ratioToInference));
  const known = piggyback.flatMap((costs) => costs.ratioToXbm ?? []);
  const values: Record<string, number> = { meanRatioToInference: toInference };
  if (known.length > 0) values.meanRatioToXbm = mean(known);
  return {
    claim,
    source,
    verdict:
      toInference.toFixed(1) === '4.3' ? 'consistent with our reading' : 'not consistent with our reading',
    own: `(inference + reprogramming) / inference: mean ${toInference.toFixed(2)}; Piggyback's total / XBM's total: mean ${known.length > 0 ? mean(known).toFixed(2) : 'unknown (no XBM results)'}`,
    values,
  };
}

function isResNet50(report: HardwareReport): boolean {
  return report.network.network === 'resnet50' && report.network.input === '224×224';
}
