/** @file What a reproduction will do: pure, from what is there and what was measured. */
import type { DataSizes } from './dataSizes.js';
import { estimateSeconds, type Speed } from './estimate.js';
import type { PlannedRun } from './expand.js';
import type { Inspection, RunState } from './inspect.js';

export interface PlanEntry {
  readonly run: PlannedRun;
  readonly state: RunState;
  /** Still needed; 0 when done, null when unknown. */
  readonly seconds: number | null;
  /** What the user should know before it starts. */
  readonly note: string | null;
}

export interface Plan {
  readonly entries: readonly PlanEntry[];
  readonly missing: readonly PlannedRun[];
  /** Of all missing runs, one after the other; of those whose time is known. */
  readonly secondsInTurn: number;
  /** Missing runs whose time is unknown. */
  readonly unknown: number;
}

/** Puts the plan together; maps are by run name. */
export function makePlan(
  runs: readonly PlannedRun[],
  inspections: ReadonlyMap<string, Inspection>,
  sizes: ReadonlyMap<string, DataSizes>,
  speeds: readonly Speed[],
): Plan {
  const entries = runs.map((run): PlanEntry => {
    const { state, steps, note } = inspections.get(run.name)!;
    if (state === 'done') return { run, state, seconds: 0, note };
    const data = sizes.get(run.name)!;
    const seconds = estimateSeconds(run.experiment, data.sizes, steps, speeds);
    return { run, state, seconds, note: note ?? data.problem };
  });
  const missing = entries.filter(({ state }) => state !== 'done');
  return {
    entries,
    missing: missing.map(({ run }) => run),
    secondsInTurn: missing.reduce((sum, { seconds }) => sum + (seconds ?? 0), 0),
    unknown: missing.filter(({ seconds }) => seconds === null).length,
  };
}
