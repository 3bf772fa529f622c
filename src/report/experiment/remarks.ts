import { groupRuns } from './groups.js';
import type { ExperimentReport } from './types.js';

/** The caller's notes, then what a reader would look for in vain, with the reason. */
export function remarksOf(report: ExperimentReport): string[] {
  const groups = groupRuns(report);
  const name = ({ task, label, precision }: (typeof groups)[number]) => `${task} ${label} ${precision}`;
  const uncurved = groups.filter(({ runs }) => runs.every(({ curve }) => curve.length === 0)).map(name);
  return [
    ...report.notes,
    ...(uncurved.length > 0
      ? [`Without training curves, because their metrics.jsonl holds no epoch: ${uncurved.join(', ')}.`]
      : []),
  ];
}
