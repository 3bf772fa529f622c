import type { HardwareDescription } from '../hardware/description.js';
import { energiesOf, priceRuns } from './energies.js';
import type { PlannedRun } from './expand.js';
import { readFinished } from './finished.js';
import { writeReproductionReport } from './report.js';
import type { ReproductionSource } from './reproductionFile.js';
import { groupUnpriced, type MissingRun, type ReproductionSummary, summarizeRuns } from './summary.js';
import { writeResults } from './writeResults.js';

export interface CollectInputs {
  readonly source: ReproductionSource;
  /** The command that makes these results. */
  readonly command: string;
  readonly cwd: string;
  readonly presets: readonly HardwareDescription[];
  readonly runs: readonly PlannedRun[];
  /** Runs without a result, with the reason. */
  readonly missing: readonly MissingRun[];
}

export interface Results {
  readonly summary: ReproductionSummary;
  /** Seconds of training and testing by run name. */
  readonly seconds: Readonly<Record<string, number>>;
  /** summary.json, other tables, report.html. */
  readonly files: { readonly summary: string; readonly tables: readonly string[]; readonly report: string };
}

/** Summarises the finished runs, prices them, and writes everything into the results folder. */
export async function collectResults(folder: string, inputs: CollectInputs): Promise<Results> {
  const { source, command, cwd, presets, runs, missing } = inputs;
  const { reproduction } = source;
  const finished = readFinished(runs);
  const pricing = await priceRuns(finished, presets);
  const energies = energiesOf(pricing);
  const summary: ReproductionSummary = {
    name: reproduction.name,
    title: reproduction.title ?? reproduction.name,
    hardware: presets.map(({ name }) => name),
    rows: summarizeRuns(finished, energies),
    missing,
    unpriced: groupUnpriced(pricing.unpriced),
  };
  const [first, ...tables] = await writeResults(folder, summary, finished, energies);
  const [report] = await writeReproductionReport(folder, {
    source,
    command,
    cwd,
    finished,
    priced: pricing.groups,
    unpriced: summary.unpriced,
    missing,
  });
  const seconds = finished.map(({ run, timings }) => [
    run.name,
    timings.trainingSeconds + timings.evaluationSeconds,
  ]);
  return { summary, seconds: Object.fromEntries(seconds), files: { summary: first, tables, report } };
}
