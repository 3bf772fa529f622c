/** @file results/<name>/summary.json: one row per experiment, means over its seeds; nothing in it depends on time. */
import type { MethodName } from '../adaption/method.js';
import { type PublishedResult, publishedResult } from '../report/experiment/published.js';
import { spreadOf } from '../report/experiment/statistics.js';
import { measuredEnergyKeys, type RunEnergies, type RunEnergy, type UnpricedRun } from './energies.js';
import type { FinishedRun } from './finished.js';

/** Means over seeds, and sample standard deviations. */
export type EnergySpread = Readonly<
  RunEnergy & Record<`${(typeof measuredEnergyKeys)[number]}StandardDeviation`, number | null>
>;

export interface SummaryRow {
  readonly task: string;
  readonly method: MethodName;
  readonly variant: string | null;
  readonly network: string;
  readonly weightBits: number;
  readonly activationBits: number;
  readonly granularity: string | null;
  /** Of one column segment; null but for granularity column. */
  readonly rows: number | null;
  readonly imageSize: number;
  readonly epochs: number;
  readonly classes: number;
  readonly trainImages: number;
  readonly testImages: number;
  readonly seeds: readonly number[];
  /** Top-1 on the test split after the last epoch, per cent: mean over the seeds. */
  readonly accuracy: number;
  /** Of the sample (n − 1); null for one seed. */
  readonly accuracyStandardDeviation: number | null;
  /** The paper's, or at full precision Piggyback's, where {@link publishedResult} finds nothing unlike; per cent. */
  readonly publishedAccuracy: number | null;
  /** Own − published, percentage points. */
  readonly accuracyDifference: number | null;
  /** Mean, of the mask bits, per cent; null without masks. */
  readonly shareOff: number | null;
  readonly shareOffStandardDeviation: number | null;
  readonly publishedShareOff: number | null;
  readonly maskBits: number;
  readonly maskBytes: number;
  readonly taskBytes: number;
  /** Means by hardware preset; without those on which one of the runs has no price. */
  readonly energy: Readonly<Record<string, EnergySpread>>;
  /** Names of the run folders. */
  readonly runs: readonly string[];
}

/** A run without a result. */
export interface MissingRun {
  readonly run: string;
  readonly task: string;
  readonly method: MethodName;
  readonly variant: string | null;
  readonly seed: number;
  readonly reason: string;
}

/** Runs without a price on a hardware preset. */
export interface Unpriced {
  readonly preset: string;
  readonly runs: readonly string[];
  readonly reason: string;
}

export interface ReproductionSummary {
  readonly name: string;
  readonly title: string;
  readonly hardware: readonly string[];
  readonly rows: readonly SummaryRow[];
  readonly missing: readonly MissingRun[];
  readonly unpriced: readonly Unpriced[];
}

/** One row per experiment, in the plan's order. */
export function summarizeRuns(finished: readonly FinishedRun[], energies: RunEnergies): SummaryRow[] {
  const groups = new Map<string, FinishedRun[]>();
  for (const one of finished) {
    const { task, method, variant } = one.run;
    const key = JSON.stringify([task, method, variant]);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].map((group) => summaryRow(group, energies));
}

function summaryRow(group: readonly FinishedRun[], energies: RunEnergies): SummaryRow {
  const [{ run, summary }] = group;
  const accuracy = spreadOf(group.map((one) => one.summary.accuracy))!;
  const published = publishedFor(group[0]);
  const { network, weightBits, activationBits, granularity, rows, imageSize, epochs } = summary;
  const { classes, trainImages, testImages, maskBits, maskBytes, taskBytes } = summary;
  const shareOff = maskBits > 0 ? spreadOf(group.map((one) => one.summary.shareOff)) : null;
  return {
    task: run.task,
    method: run.method,
    variant: run.variant,
    network,
    weightBits,
    activationBits,
    granularity,
    rows,
    imageSize,
    epochs,
    classes,
    trainImages,
    testImages,
    seeds: group.map((one) => one.run.seed),
    accuracy: accuracy.mean,
    accuracyStandardDeviation: accuracy.deviation,
    publishedAccuracy: published.accuracy,
    accuracyDifference: published.accuracy === null ? null : accuracy.mean - published.accuracy,
    shareOff: shareOff?.mean ?? null,
    shareOffStandardDeviation: shareOff?.deviation ?? null,
    publishedShareOff: maskBits > 0 ? published.shareOff : null,
    maskBits,
    maskBytes,
    taskBytes,
    energy: energySpreads(group.map((one) => energies.get(one.run.name) ?? {})),
    runs: group.map((one) => one.run.name),
  };
}

/** The published figures, where nothing is unlike the published experiment. */
function publishedFor({ summary }: FinishedRun): Pick<PublishedResult, 'accuracy' | 'shareOff'> {
  const published = publishedResult(summary);
  return published.unlike.length === 0 ? published : { accuracy: null, shareOff: null };
}

function energySpreads(all: readonly Readonly<Record<string, RunEnergy>>[]): Record<string, EnergySpread> {
  const presets = Object.keys(all[0]).filter((preset) => all.every((energies) => preset in energies));
  const spread = (preset: string) => {
    const spreads = measuredEnergyKeys.map((key) => ({
      key,
      ...spreadOf(all.map((energies) => energies[preset][key]))!,
    }));
    return Object.fromEntries([
      ...spreads.flatMap(({ key, mean, deviation }) => [
        [key, mean],
        [`${key}StandardDeviation`, deviation],
      ]),
      ['cellWritePicojoules', all[0][preset].cellWritePicojoules],
    ]) as EnergySpread;
  };
  return Object.fromEntries(presets.map((preset) => [preset, spread(preset)]));
}

/** Runs that have no price on one preset for one reason, together. */
export function groupUnpriced(unpriced: readonly UnpricedRun[]): Unpriced[] {
  const groups = new Map<string, Unpriced>();
  for (const { run, preset, reason } of unpriced) {
    const key = JSON.stringify([preset, reason]);
    const runs = [...(groups.get(key)?.runs ?? []), run.name];
    groups.set(key, { preset, runs, reason });
  }
  return [...groups.values()];
}
