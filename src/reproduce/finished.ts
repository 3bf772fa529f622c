import { RunFolder } from '../runs/runFolder.js';
import type { RunSummary, RunTimings } from '../runs/summary.js';
import type { PlannedRun } from './expand.js';

/** A planned run with its result. */
export interface FinishedRun {
  readonly run: PlannedRun;
  readonly folder: RunFolder;
  readonly summary: RunSummary;
  readonly timings: RunTimings;
}

/** The runs of a plan that have a result, in the plan's order. */
export function readFinished(runs: readonly PlannedRun[]): FinishedRun[] {
  return runs.flatMap((run): FinishedRun[] => {
    const folder = new RunFolder(run.folder);
    if (folder.status !== 'finished') return [];
    const summary = folder.readSummary();
    if (summary.configHash !== run.configHash) return [];
    return [{ run, folder, summary, timings: folder.readTimings() }];
  });
}
