import type { HardwareDescription } from '../hardware/description.js';
import { energiesOf, priceRuns } from './energies.js';
import type { PlannedRun } from './expand.js';
import { readFinished } from './finished.js';
import type { Reproduction } from './reproductionFile.js';
import { type MissingRun, type ReproductionSummary, summarizeRuns } from './summary.js';
import { writeResults } from './writeResults.js';

export interface CollectInputs {
  readonly reproduction: Reproduction;
  readonly presets: readonly HardwareDescription[];
  readonly runs: readonly PlannedRun[];
  /** Runs without a result, with the reason. */
  readonly missing: readonly MissingRun[];
}

export interface Results {
  readonly summary: ReproductionSummary;
  /** Seconds of training and testing by run name. */
  readonly seconds: Readonly<Record<string, number>>;
  readonly files: readonly string[];
}

/** Summarises the finished runs, prices them, and writes everything into the results folder. */
export async function collectResults(
  folder: string,
  { reproduction, presets, runs, missing }: CollectInputs,
): Promise<Results> {
  const finished = readFinished(runs);
  const energies = energiesOf(await priceRuns(finished, presets));
  const summary: ReproductionSummary = {
    name: reproduction.name,
    title: reproduction.title ?? reproduction.name,
    hardware: presets.map(({ name }) => name),
    rows: summarizeRuns(finished, energies),
    missing,
  };
  const files = await writeResults(folder, summary, finished, energies);
  const seconds = finished.map(({ run, timings }) => [
    run.name,
    timings.trainingSeconds + timings.evaluationSeconds,
  ]);
  return { summary, seconds: Object.fromEntries(seconds), files };
}
