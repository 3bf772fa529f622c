/** @file What a results folder holds before a reproduction writes its report there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { PlannedRun } from './expand.js';

const ownSummary = z.object({ rows: z.array(z.object({ runs: z.array(z.string()) })) });

/** What a reproduction writes, or removes where an earlier one wrote it. */
const files = [
  ...['summary.json', 'summary.csv', 'runs.parquet', 'timings.json'],
  ...['report.html', 'report.md', 'report.json', 'tables.tex'],
];
const folders: Readonly<Record<string, RegExp>> = { tables: /\.csv$/, figures: /\.(svg|png)$/ };

/** Runs in the report that a results folder holds which a plan does not have: a new report would be without them. */
export function runsOfOtherPlan(folder: string, plan: readonly PlannedRun[]): string[] {
  const planned = new Set(plan.map(({ name }) => name));
  return (reportedRuns(folder) ?? []).filter((name) => !planned.has(name));
}

/** Files of something else that a report would replace or remove: no reproduction has written summary.json beside them. */
export function foreignFiles(folder: string): string[] {
  if (reportedRuns(folder) !== null) return [];
  const below = Object.entries(folders).flatMap(([name, pattern]) =>
    namesIn(join(folder, name))
      .filter((file) => pattern.test(file))
      .map((file) => join(name, file)),
  );
  return [...files.filter((file) => existsSync(join(folder, file))), ...below];
}

/** Null: there is no summary of a reproduction, or a damaged one. */
function reportedRuns(folder: string): string[] | null {
  try {
    const { rows } = ownSummary.parse(JSON.parse(readFileSync(join(folder, 'summary.json'), 'utf8')));
    return rows.flatMap(({ runs }) => runs);
  } catch {
    return null;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
