/** @file Images per split of the data sets that runs need, each data set read once. */
import { protocols } from '../data/index.js';
import { UserError } from '../errors.js';
import { openExperimentData } from '../runs/openExperiment.js';
import type { Sizes } from './estimate.js';
import type { PlannedRun } from './expand.js';

export interface DataSizes {
  /** null: unknown. */
  readonly sizes: Sizes | null;
  /** Why the data set cannot be opened on this machine. */
  readonly problem: string | null;
}

/**
 * Looks at the data set of every run, without decoding an image.
 * @returns by run name; published sizes where the data set is not here
 */
export async function dataSizes(
  runs: readonly PlannedRun[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<Map<string, DataSizes>> {
  const opened = new Map<string, DataSizes>();
  const found = new Map<string, DataSizes>();
  for (const { name, experiment } of runs) {
    const key = JSON.stringify([experiment.task, experiment.data]);
    const known = opened.get(key) ?? (await open(experiment, env));
    opened.set(key, known);
    found.set(name, known);
  }
  return found;
}

async function open(
  experiment: PlannedRun['experiment'],
  env: Readonly<Record<string, string | undefined>>,
): Promise<DataSizes> {
  try {
    const { train, test } = await openExperimentData(experiment, env);
    return { sizes: { train: train.length, test: test.length }, problem: null };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { sizes: protocols[experiment.task].published[0] ?? null, problem: error.message };
  }
}
