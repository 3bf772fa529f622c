/** @file Every table of an experiment, in printing order. */
import { accuracyTable, publishedTable, shareOffTable } from './accuracyTables.js';
import { chipTable, chipTables, energyTable, memoryTable } from './costTables.js';
import { chipSuffix } from './figures.js';
import { groupRuns } from './groups.js';
import type { ResultTable } from './resultTable.js';
import { curvesTable, layersTable, missingTable, runsTable } from './runTables.js';
import type { ExperimentReport } from './types.js';

/** Results, for the terminal and papers: accuracy, share off, energy, memory, and what is missing. */
export function resultTables(report: ExperimentReport): ResultTable[] {
  const groups = groupRuns(report);
  if (groups.length === 0) return present([missingTable(report)]);
  return present([
    accuracyTable(groups),
    shareOffTable(groups),
    ...report.chips.map((chip) => energyTable(groups, chip, `energy${chipSuffix(report, chip.id)}`)),
    memoryTable(groups),
    missingTable(report),
  ]);
}

/** What stands behind the results: runs, published numbers, the chips. */
export function supportingTables(report: ExperimentReport): ResultTable[] {
  const groups = groupRuns(report);
  return present([
    groups.length > 0 ? runsTable(groups) : null,
    publishedTable(report.runs.map(({ summary }) => summary.task)),
    ...report.chips.flatMap((chip) => {
      const suffix = chipSuffix(report, chip.id);
      return [chipTable(chip, `limits${suffix}`), ...chipTables(chip, suffix)];
    }),
  ]);
}

/** Long tables for notebooks: only as CSV. */
export function dataTables(report: ExperimentReport): ResultTable[] {
  const groups = groupRuns(report);
  return [curvesTable(groups), layersTable(groups)].filter(({ rows }) => rows.length > 0);
}

function present(tables: readonly (ResultTable | null)[]): ResultTable[] {
  return tables.filter((table) => table !== null);
}
