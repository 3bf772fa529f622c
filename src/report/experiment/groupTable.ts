/** @file What tables with a row per task, method and precision have in common. */
import type { RunGroup } from './groups.js';
import { type ResultCell, type ResultRow, textColumn } from './resultTable.js';

/** The first cells of a row that tells of a group. */
export function groupRow(group: RunGroup, cells: readonly ResultCell[]): ResultRow {
  return {
    cells: [group.task, group.label, group.precision, ...cells],
    task: group.task,
    method: group.method,
    group: group.id,
  };
}

export const groupColumns = [textColumn('task'), textColumn('method'), textColumn('precision')] as const;
