/** @file The report as one JSON document: results per task and method, every run, every chip. */
import { hardwareJson } from '../hardwareJson.js';
import { accuracyOf, shareOffOf } from './accuracyTables.js';
import { groupRuns, type RunGroup } from './groups.js';
import { publishedFor } from './published.js';
import { remarksOf } from './remarks.js';
import { spreadOf } from './statistics.js';
import type { ExperimentReport, ExperimentRun, RunCosts } from './types.js';

/** Shape: the tables at full precision; null where a number is unknown. */
export function experimentJson(report: ExperimentReport) {
  const groups = groupRuns(report);
  return {
    name: report.name,
    description: report.description,
    programVersion: report.programVersion,
    command: report.command,
    notes: remarksOf(report),
    results: groups.map(resultJson),
    runs: groups.flatMap((group) => group.runs.map((run) => runJson(group, run))),
    missing: report.missing,
    chips: report.chips.map(({ id, runs, report }) => ({ id, runs, ...hardwareJson(report) })),
  };
}

function resultJson(group: RunGroup) {
  const published = publishedFor(group);
  const accuracy = accuracyOf(group);
  const shareOff = shareOffOf(group);
  const difference = (own: number | undefined, theirs: number | null) =>
    own === undefined || theirs === null || published.unlike.length > 0 ? null : own - theirs;
  const chips = [...new Set(group.runs.flatMap((run) => run.costs.map(({ chip }) => chip)))];
  const { summary } = group.runs[0];
  return {
    id: group.id,
    task: group.task,
    method: group.method,
    label: group.label,
    precision: group.precision,
    seeds: group.runs.map(({ summary: { seed } }) => seed),
    accuracyPercent: accuracy,
    publishedAccuracyPercent: published.accuracy,
    accuracyDifferencePoints: difference(accuracy.mean, published.accuracy),
    shareOffPercent: shareOff,
    publishedShareOffPercent: published.shareOff,
    shareOffDifferencePoints: difference(shareOff?.mean, published.shareOff),
    unlikePublished: published.unlike,
    maskBits: summary.maskBits,
    maskBytes: summary.maskBytes,
    energy: Object.fromEntries(chips.map((chip) => [chip, energyJson(group, chip)])),
  };
}

/** Means over the seeds. */
function energyJson(group: RunGroup, chip: string) {
  const costs = group.runs.flatMap((run) => run.costs.filter((cost) => cost.chip === chip));
  const mean = (value: (cost: RunCosts) => number) => spreadOf(costs.map(value));
  return {
    energyPerImageMicrojoules: mean((cost) => cost.energyPerImageMicrojoules),
    inferenceTestSetJoules: mean((cost) => cost.inferenceTestSetJoules),
    reprogrammingJoules: mean((cost) => cost.reprogrammingJoules),
    totalJoules: mean((cost) => cost.totalJoules),
    cellWritePicojoules: costs[0].cellWritePicojoules,
  };
}

function runJson(group: RunGroup, run: ExperimentRun) {
  const { task, variant, summary, folder, command, costs, layers, curve } = run;
  return { result: group.id, task, variant, folder, command, summary, costs, layers, curve };
}
