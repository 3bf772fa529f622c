/** @file Runs that differ in nothing but their seed, in the order in which reports print them. */
import type { MethodName } from '../../adaption/method.js';
import { UserError } from '../../errors.js';
import { publishedTasks } from '../../hardware/published.js';
import type { RunSummary } from '../../runs/summary.js';
import { uniqueSlugs } from './slug.js';
import type { ExperimentReport, ExperimentRun } from './types.js';

/** The paper's order, then what it does not have. */
export const PAPER_METHOD_ORDER: readonly MethodName[] = ['finetune', 'piggyback', 'xbm', 'classifier'];

/** The same experiment with different seeds. */
export interface RunGroup {
  /** Lower-case words with dashes; the anchor of its details. */
  readonly id: string;
  readonly task: string;
  readonly method: MethodName;
  /** The method, with what tells its variants apart where a report has several. */
  readonly label: string;
  readonly precision: string;
  /** By seed. */
  readonly runs: readonly ExperimentRun[];
}

/** Where the details of one run are. */
export function runAnchor(group: Pick<RunGroup, 'id'>, seed: number): string {
  return `${group.id}-s${seed}`;
}

/** What may differ between two runs of one task and method. */
const variantKeys = {
  network: (summary) => summary.network,
  granularity: (summary) => summary.granularity ?? 'no masks',
  rows: (summary) => (summary.rows === null ? 'no segments' : `${summary.rows} rows`),
  imageSize: (summary) => `${summary.imageSize} px`,
  epochs: (summary) => `${summary.epochs} epochs`,
  batchSize: (summary) => `batch ${summary.batchSize}`,
  backboneSha256: (summary) => `backbone ${summary.backboneSha256.slice(0, 8)}`,
} satisfies Record<string, (summary: RunSummary) => string>;

type VariantKey = keyof typeof variantKeys;
const VARIANT_KEYS = Object.keys(variantKeys) as VariantKey[];

/** "4-bit", "4/8-bit" for weights and activations, "full precision". */
export function precisionOf({ weightBits, activationBits }: RunSummary): string {
  if (weightBits >= 32 && activationBits >= 32) return 'full precision';
  return weightBits === activationBits ? `${weightBits}-bit` : `${weightBits}/${activationBits}-bit`;
}

/** Tasks of a report: the paper's first, in its order, then the others by name. */
export function tasksOf({ runs, missing }: Pick<ExperimentReport, 'runs' | 'missing'>): string[] {
  const order = publishedTasks.map(({ name }) => name);
  const rank = (task: string) => (order.includes(task) ? order.indexOf(task) : order.length);
  const tasks = new Set([...runs, ...missing].map(({ task }) => task));
  return [...tasks].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Methods of a report in the paper's order. */
export function methodsIn({ runs, missing }: Pick<ExperimentReport, 'runs' | 'missing'>): MethodName[] {
  const found = new Set([
    ...runs.map(({ summary }) => summary.method),
    ...missing.map(({ method }) => method),
  ]);
  return PAPER_METHOD_ORDER.filter((method) => found.has(method));
}

/**
 * Groups by task, method, precision and variant: tasks and methods in the paper's order, 4 bits before full precision.
 * @throws UserError when two runs of a group have one seed: nobody could say which of them counts
 */
export function groupRuns(report: Pick<ExperimentReport, 'runs' | 'missing'>): RunGroup[] {
  const found = new Map<string, ExperimentRun[]>();
  for (const run of report.runs) {
    const { method } = run.summary;
    const variant = VARIANT_KEYS.map((key) => run.summary[key]);
    const key = JSON.stringify([run.task, run.variant, method, precisionOf(run.summary), ...variant]);
    found.set(key, [...(found.get(key) ?? []), run]);
  }
  const tasks = tasksOf(report);
  const all = [...found.values()].map(bySeed);
  const groups = all
    .map(
      (runs): Omit<RunGroup, 'id'> => ({
        task: runs[0].task,
        method: runs[0].summary.method,
        label: labelOf(runs, all),
        precision: precisionOf(runs[0].summary),
        runs,
      }),
    )
    .sort(
      (a, b) =>
        tasks.indexOf(a.task) - tasks.indexOf(b.task) ||
        PAPER_METHOD_ORDER.indexOf(a.method) - PAPER_METHOD_ORDER.indexOf(b.method) ||
        a.runs[0].summary.weightBits - b.runs[0].summary.weightBits ||
        (a.label < b.label ? -1 : 1),
    );
  const keys = groups.map(({ task, label, precision }) => JSON.stringify(['run', task, label, precision]));
  const ids = uniqueSlugs(keys);
  return groups.map((group, i) => ({ id: ids.get(keys[i])!, ...group }));
}

/** Names only what differs from other groups of the task, method and precision. */
function labelOf([run]: readonly ExperimentRun[], groups: readonly (readonly ExperimentRun[])[]): string {
  const { task, summary, variant } = run;
  const others = groups.flatMap(([other]) =>
    other.task === task &&
    other.variant === variant &&
    other.summary.method === summary.method &&
    precisionOf(other.summary) === precisionOf(summary)
      ? [other.summary]
      : [],
  );
  const telling = VARIANT_KEYS.filter((key) => others.some((other) => other[key] !== summary[key]));
  const parts = [...(variant === null ? [] : [variant]), ...telling.map((key) => variantKeys[key](summary))];
  return parts.length === 0 ? summary.method : `${summary.method} (${parts.join(', ')})`;
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
