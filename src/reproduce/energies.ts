/** @file What finished runs cost on hardware presets. */
import type { HardwareDescription } from '../hardware/description.js';
import { type HardwareReport, hardwareReport, type MethodCosts } from '../report/hardwareReport.js';
import { hardwareForRuns } from '../report/runHardware.js';
import { readRunResults } from '../report/runResults.js';
import type { FinishedRun } from './finished.js';

/** Runs that one hardware report holds, on one preset. */
export interface PricedGroup {
  readonly preset: string;
  readonly report: HardwareReport;
  /** By run name. */
  readonly costs: ReadonlyMap<string, MethodCosts>;
}

/** What a run costs on one preset. */
export interface RunEnergy {
  readonly energyPerImageMicrojoules: number;
  readonly inferenceTestSetJoules: number;
  /** From the backbone to the task, once. */
  readonly reprogrammingJoules: number;
  readonly totalJoules: number;
}

export const energyKeys: readonly (keyof RunEnergy)[] = [
  'energyPerImageMicrojoules',
  'inferenceTestSetJoules',
  'reprogrammingJoules',
  'totalJoules',
];

/** Energies by run name, then by preset. */
export type RunEnergies = ReadonlyMap<string, Readonly<Record<string, RunEnergy>>>;

/** Prices runs on every preset; runs whose weights no crossbar holds (full precision) are left out. */
export async function priceRuns(
  runs: readonly FinishedRun[],
  presets: readonly HardwareDescription[],
): Promise<PricedGroup[]> {
  const priced: PricedGroup[] = [];
  const needLevels = presets.some(({ policies }) => policies.piggybackCells === 'digit-changes');
  for (const group of comparable(runs)) {
    const results = await readRunResults(
      group.map(({ folder }) => folder),
      { needLevels },
    );
    for (const preset of presets) {
      const report = hardwareReport(results.network, hardwareForRuns(preset, results), results.set);
      const costs = group.map(({ run }) => [run.name, report.tasks[run.task].methods[run.method]!] as const);
      priced.push({ preset: preset.name, report, costs: new Map(costs) });
    }
  }
  return priced;
}

/** The energies of priced runs, by run. */
export function energiesOf(priced: readonly PricedGroup[]): RunEnergies {
  const energies = new Map<string, Record<string, RunEnergy>>();
  for (const { preset, costs } of priced) {
    for (const [run, cost] of costs) {
      const energy = Object.fromEntries(energyKeys.map((key) => [key, cost[key]])) as unknown as RunEnergy;
      energies.set(run, { ...energies.get(run), [preset]: energy });
    }
  }
  return energies;
}

/** Groups of one backbone, image size, seed and variant, in which a task and method occur once. */
function comparable(runs: readonly FinishedRun[]): FinishedRun[][] {
  const groups = new Map<string, FinishedRun[]>();
  const seen = new Map<string, number>();
  for (const finished of runs) {
    const { run, summary } = finished;
    const { network, backboneSha256, weightBits, activationBits, imageSize } = summary;
    if (weightBits > 8 || activationBits > 8) continue;
    const common = [network, backboneSha256, weightBits, activationBits, imageSize, run.variant, run.seed];
    const own = JSON.stringify([...common, run.task, run.method]);
    const ordinal = seen.get(own) ?? 0;
    seen.set(own, ordinal + 1);
    const key = JSON.stringify([...common, ordinal]);
    groups.set(key, [...(groups.get(key) ?? []), finished]);
  }
  return [...groups.values()];
}
