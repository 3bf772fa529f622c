/** @file Comparison with an earlier summary: what got worse by more than a tolerance. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { describeIssue, valueAt } from '../config/problems.js';
import { UserError } from '../errors.js';
import type { SummaryRow } from './summary.js';

const schema = z.object({
  rows: z
    .array(
      z.object({
        task: z.string(),
        method: z.string(),
        variant: z.string().nullable().default(null),
        accuracy: z.number(),
        energy: z
          .record(
            z.string(),
            z.object({ energyPerImageMicrojoules: z.number(), reprogrammingJoules: z.number() }),
          )
          .default({}),
      }),
    )
    // Nothing is worse than no rows: a check against them would pass whatever the results.
    .min(1, 'it has no results to compare with'),
});

export type Baseline = z.infer<typeof schema>;

/** @throws UserError when the file is missing or no summary of `xbm reproduce` */
export function readBaseline(path: string): Baseline {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== undefined) throw error;
    throw new UserError(`${path}: not JSON`, 'Give the summary.json of an earlier `xbm reproduce`.');
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(
    `${path}: no summary of xbm reproduce: ${issue.path.join('.') || 'the whole'}: ${describeIssue(issue, valueAt(value, issue.path))}`,
    'Give the summary.json of an earlier `xbm reproduce`.',
  );
}

/**
 * What is worse than the baseline, one sentence each; better is never a problem.
 * @param tolerance percentage points of accuracy, and per cent of an energy
 */
export function compareWithBaseline(
  rows: readonly SummaryRow[],
  baseline: Baseline,
  tolerance: number,
): string[] {
  const problems = baseline.rows.flatMap((before): string[] => {
    const { task, method, variant } = before;
    const label = [task, method, variant].filter(Boolean).join(' ');
    const now = rows.find((row) => row.task === task && row.method === method && row.variant === variant);
    if (!now) return [`${label}: ${withoutResult(before, rows)}`];
    const problems: string[] = [];
    if (now.accuracy < before.accuracy - tolerance) {
      problems.push(
        `${label}: accuracy fell from ${before.accuracy.toFixed(2)} to ${now.accuracy.toFixed(2)} %`,
      );
    }
    for (const [preset, energy] of Object.entries(before.energy)) {
      const current = now.energy[preset];
      if (!current) {
        problems.push(`${label}: the baseline has energies on ${preset}, this result has none`);
        continue;
      }
      for (const [key, unit, what] of quantities) {
        if (current[key] > energy[key] * (1 + tolerance / 100)) {
          const [from, to] = [energy[key], current[key]].map((joules) => joules.toPrecision(4));
          problems.push(`${label}: ${what} on ${preset} rose from ${from} to ${to} ${unit}`);
        }
      }
    }
    return problems;
  });
  // Rows of an older version may have the same name.
  return [...new Set(problems)];
}

/** Older versions gave several files of one task and method no variant. */
function withoutResult(before: Baseline['rows'][number], rows: readonly SummaryRow[]): string {
  const variants = rows
    .filter(({ task, method }) => task === before.task && method === before.method)
    .map(({ variant }) => variant);
  return before.variant === null && variants.length > 1
    ? `the baseline has no variant, the results now are ${variants.join(', ')}; make the baseline anew`
    : 'in the baseline, but without a result now';
}

const quantities = [
  ['energyPerImageMicrojoules', 'µJ', 'energy per image'],
  ['reprogrammingJoules', 'J', 'reprogramming energy'],
] as const;
