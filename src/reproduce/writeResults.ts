/** @file A reproduction's results on disk; the same runs give the same bytes, timings apart. */

import { join } from 'node:path';
import { makeFolder } from '../folders.js';
import { replaceFiles } from '../model/replaceFile.js';
import { type Cell, tableToCsv } from '../report/table.js';
import { measuredEnergyKeys, type RunEnergies } from './energies.js';
import type { FinishedRun } from './finished.js';
import type { ReproductionSummary, SummaryRow } from './summary.js';

/**
 * Writes summary.json, summary.csv (one line per experiment), runs.parquet (one line per run) and timings.json.
 * @returns the files
 */
export async function writeResults(
  folder: string,
  summary: ReproductionSummary,
  finished: readonly FinishedRun[],
  energies: RunEnergies,
): Promise<string[]> {
  const { runsParquet } = await import('./parquet.js');
  const files = new Map<string, [Uint8Array]>([
    [join(folder, 'summary.json'), [json(summary)]],
    [join(folder, 'summary.csv'), [Buffer.from(summaryCsv(summary))]],
    [join(folder, 'runs.parquet'), [runsParquet(finished, energies, summary.hardware)]],
    [join(folder, 'timings.json'), [json(timings(finished))]],
  ]);
  makeFolder(folder);
  await replaceFiles(files);
  return [...files.keys()];
}

const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);

/** One line per row; energies as columns `<preset>.<quantity>`, lists with spaces between. */
export function summaryCsv({ rows, hardware }: ReproductionSummary): string {
  const plain = Object.keys(rows[0] ?? {}).filter((key) => key !== 'energy') as (keyof SummaryRow)[];
  const energy = [
    ...measuredEnergyKeys.flatMap((key) => [key, `${key}StandardDeviation`] as const),
    'cellWritePicojoules' as const,
  ];
  const header = [...plain, ...hardware.flatMap((preset) => energy.map((key) => `${preset}.${key}`))];
  const cells = rows.map((row) => [
    ...plain.map((key): Cell => {
      const value = row[key];
      return Array.isArray(value) ? value.join(' ') : (value as Cell);
    }),
    ...hardware.flatMap((preset) => energy.map((key) => row.energy[preset]?.[key] ?? null)),
  ]);
  return tableToCsv({ header, rows: cells });
}

function timings(finished: readonly FinishedRun[]) {
  const runs = Object.fromEntries(finished.map(({ run, timings }) => [run.name, timings]));
  const total = finished.reduce(
    (sum, { timings: { trainingSeconds, evaluationSeconds } }) => sum + trainingSeconds + evaluationSeconds,
    0,
  );
  return { secondsOfAllRuns: total, runs };
}
