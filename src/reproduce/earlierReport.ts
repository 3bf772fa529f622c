import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { PlannedRun } from './expand.js';

const schema = z.object({ rows: z.array(z.object({ runs: z.array(z.string()) })) });

/** Runs in the report that a results folder holds which a plan does not have: a new report would be without them. */
export function runsOfOtherPlan(folder: string, plan: readonly PlannedRun[]): string[] {
  const path = join(folder, 'summary.json');
  if (!existsSync(path)) return [];
  const planned = new Set(plan.map(({ name }) => name));
  return reportedRuns(readFileSync(path, 'utf8')).filter((name) => !planned.has(name));
}

/** None of a damaged summary: nothing is lost with it. */
function reportedRuns(text: string): string[] {
  try {
    return schema.parse(JSON.parse(text)).rows.flatMap(({ runs }) => runs);
  } catch {
    return [];
  }
}
