/** @file Runs that differ in nothing but their seed. */
import type { MethodName } from '../../adaption/method.js';
import { UserError } from '../../errors.js';
import type { RunSummary } from '../../runs/summary.js';
import { uniqueSlugs } from './slug.js';
import type { ExperimentReport, ExperimentRun } from './types.js';

/** The same experiment with different seeds. */
export interface RunGroup {
  /** Lower-case words with dashes; the anchor of its details. */
  readonly id: string;
  readonly task: string;
  readonly method: MethodName;
  /** The method, with its variant where it has one. */
  readonly label: string;
  readonly precision: string;
  /** By seed. */
  readonly runs: readonly ExperimentRun[];
}

/** Where the details of one run are. */
export function runAnchor(group: Pick<RunGroup, 'id'>, seed: number): string {
  return `${group.id}-s${seed}`;
}

/** "4-bit", "4/8-bit" for weights and activations, "full precision". */
export function precisionOf({ weightBits, activationBits }: RunSummary): string {
  if (weightBits >= 32 && activationBits >= 32) return 'full precision';
  return weightBits === activationBits ? `${weightBits}-bit` : `${weightBits}/${activationBits}-bit`;
}

type Planned = Pick<ExperimentReport, 'runs' | 'missing'>;

/** Tasks of a report, in its order. */
export function tasksOf({ runs, missing }: Planned): string[] {
  return [...new Set([...runs, ...missing].map(({ task }) => task))];
}

/** Methods of a report, in its order. */
export function methodsIn({ runs, missing }: Planned): MethodName[] {
  return [...new Set([...runs.map(({ summary }) => summary), ...missing].map(({ method }) => method))];
}

/** How tables name a method and what tells its experiments apart. */
export function methodLabel(method: MethodName, variant: string | null): string {
  return variant === null ? method : `${method} (${variant})`;
}

/**
 * Groups by task, method, variant and precision, in the order of the runs.
 * @throws UserError when two runs of a group have one seed: nobody could say which of them counts
 */
export function groupRuns({ runs }: Planned): RunGroup[] {
  const found = new Map<string, ExperimentRun[]>();
  for (const run of runs) {
    const key = JSON.stringify([run.task, run.summary.method, run.variant, precisionOf(run.summary)]);
    found.set(key, [...(found.get(key) ?? []), run]);
  }
  const groups = [...found.values()].map((group): Omit<RunGroup, 'id'> => {
    const [{ task, variant, summary }] = group;
    const label = methodLabel(summary.method, variant);
    return { task, method: summary.method, label, precision: precisionOf(summary), runs: bySeed(group) };
  });
  const keys = groups.map(({ task, label, precision }) => JSON.stringify(['run', task, label, precision]));
  const ids = uniqueSlugs(keys);
  return groups.map((group, i) => ({ id: ids.get(keys[i])!, ...group }));
}

function bySeed(runs: readonly ExperimentRun[]): ExperimentRun[] {
  const sorted = [...runs].sort((a, b) => a.summary.seed - b.summary.seed);
  sorted.forEach((run, i) => {
    const next = sorted[i + 1];
    if (next?.summary.seed !== run.summary.seed) return;
    throw new UserError(
      `two runs of task ${run.task} with method ${run.summary.method} and seed ${run.summary.seed}: ${run.folder} and ${next.folder}`,
      'Leave one of them out of the report.',
    );
  });
  return sorted;
}
