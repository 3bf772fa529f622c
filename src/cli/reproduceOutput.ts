import type { Results } from '../reproduce/collect.js';
import type { Plan, PlanEntry } from '../reproduce/plan.js';
import type { SummaryRow } from '../reproduce/summary.js';
import { formatDuration, formatNumber } from './format.js';
import type { Io } from './io.js';
import { type Cell, formatTable } from './table.js';

const states = { done: 'done', resume: 'continue', train: 'train', again: 'train again' } as const;

/** The plan as a table, or as JSON. */
export function printPlan(
  name: string,
  plan: Plan,
  { json, jobs = 1 }: { readonly json?: boolean; readonly jobs?: number },
  io: Io,
): void {
  const { entries, missing, secondsInTurn, unknown } = plan;
  if (json) {
    const runs = entries.map(({ run, state, seconds, note }) => {
      const { name, folder, task, method, variant, seed, configHash } = run;
      return { run: name, folder, task, method, variant, seed, configHash, state, seconds, note };
    });
    io.stdout(`${JSON.stringify({ name, runs, missing: missing.length, secondsInTurn, unknown })}\n`);
    return;
  }
  const variants = entries.some(({ run }) => run.variant !== null);
  const rows = entries.map((entry): Cell[] => [
    entry.run.name,
    ...(variants ? [entry.run.variant] : []),
    states[entry.state],
    timeOf(entry),
  ]);
  io.stdout(`${formatTable(['run', ...(variants ? ['variant'] : []), 'plan', 'time'], rows, io.columns)}\n`);
  const notes = new Map<string, string[]>();
  for (const { run, note } of entries) {
    if (note) notes.set(note, [...(notes.get(note) ?? []), run.name]);
  }
  for (const [note, runs] of notes) {
    io.stdout(`${runs.length > 2 ? `${runs.length} runs` : runs.join(', ')}: ${note}\n`);
  }
  io.stdout(
    `${name}: ${entries.length - missing.length} runs done, ${missing.length} to do${timeLeft(plan, jobs)}\n\n`,
  );
}

function timeOf({ state, seconds }: PlanEntry): string | null {
  if (state === 'done') return null;
  return seconds === null ? 'unknown' : formatDuration(seconds);
}

function timeLeft({ missing, secondsInTurn, unknown }: Plan, jobs: number): string {
  if (missing.length === 0) return '';
  if (unknown === missing.length) return '; time unknown: no earlier run of this network and image size here';
  const lanes = Math.min(jobs, missing.length);
  const time = `; about ${formatDuration(secondsInTurn / lanes)}${lanes > 1 ? ` with ${lanes} at a time` : ''}`;
  return unknown > 0 ? `${time}, and ${unknown} runs of unknown time` : time;
}

export interface Printed extends Results {
  /** What is worse than the baseline. */
  readonly worse: readonly string[];
  readonly baseline: string | null;
}

/** The results as a table, or as JSON. */
export function printResults(results: Printed, { json }: { readonly json?: boolean }, io: Io): void {
  const { summary, seconds, files, worse, baseline } = results;
  if (json) {
    const comparison = baseline === null ? null : { file: baseline, worse };
    const paths = { summary: files.summary, report: files.report };
    io.stdout(`${JSON.stringify({ ...summary, baseline: comparison, ...paths })}\n`);
    return;
  }
  io.stdout(`${summary.title}\n\n${resultsTable(summary.rows, summary.hardware[0], seconds)}\n`);
  for (const { run, variant, reason } of summary.missing) {
    io.stdout(`no result: ${run}${variant === null ? '' : ` (${variant})`}: ${reason}\n`);
  }
  for (const { preset, runs, reason } of summary.unpriced) {
    io.stdout(
      `not priced on ${preset}: ${runs.length > 2 ? `${runs.length} runs` : runs.join(', ')}: ${reason}\n`,
    );
  }
  for (const problem of worse) io.stdout(`worse than ${baseline}: ${problem}\n`);
  if (baseline !== null && worse.length === 0) io.stdout(`nothing is worse than ${baseline}\n`);
  io.stdout(`${files.summary}\n${files.report}\n`);
}

function resultsTable(
  rows: readonly SummaryRow[],
  preset: string,
  seconds: Readonly<Record<string, number>>,
): string {
  const variants = rows.some(({ variant }) => variant !== null);
  const published = rows.some(({ publishedAccuracy }) => publishedAccuracy !== null);
  const fixed = (value: number | null): string | null => (value === null ? null : value.toFixed(2));
  const header = [
    'task',
    'method',
    ...(variants ? ['variant'] : []),
    'accuracy %',
    '±',
    ...(published ? ['published'] : []),
    'off %',
    'mask bytes',
    'µJ/image',
    'reprogramming J',
    'seconds',
  ];
  const cells = rows.map((row): Cell[] => {
    const energy = row.energy[preset];
    return [
      row.task,
      row.method,
      ...(variants ? [row.variant] : []),
      fixed(row.accuracy),
      fixed(row.accuracyStandardDeviation),
      ...(published ? [fixed(row.publishedAccuracy)] : []),
      fixed(row.shareOff),
      row.maskBytes > 0 ? row.maskBytes : null,
      energy ? formatNumber(energy.energyPerImageMicrojoules) : null,
      energy ? formatNumber(energy.reprogrammingJoules) : null,
      row.runs.reduce((sum, run) => sum + seconds[run], 0).toFixed(1),
    ];
  });
  const energies = rows.some(({ energy }) => energy[preset]);
  const note = energies ? `Energies on ${preset}, an estimate: xbm hw-report says how it is made.\n` : '';
  return `${formatTable(header, cells)}${note}`;
}
