/** @file What finished runs cost on hardware presets. */
import { inOneLine, UserError } from '../errors.js';
import type { HardwareDescription } from '../hardware/description.js';
import { type HardwareReport, hardwareReport, type MethodCosts } from '../report/hardwareReport.js';
import { hardwareForRuns } from '../report/runHardware.js';
import { type RunResults, readRunResults } from '../report/runResults.js';
import type { PlannedRun } from './expand.js';
import type { FinishedRun } from './finished.js';

/** Runs of one seed and variant that one hardware report holds, on one preset. */
export interface PricedGroup {
  readonly preset: string;
  readonly report: HardwareReport;
  readonly seed: number;
  readonly variant: string | null;
  /** By run name. */
  readonly costs: ReadonlyMap<string, MethodCosts>;
}

/** A run that has no price on a preset. */
export interface UnpricedRun {
  readonly run: PlannedRun;
  readonly preset: string;
  readonly reason: string;
}

export interface Pricing {
  readonly groups: readonly PricedGroup[];
  readonly unpriced: readonly UnpricedRun[];
}

/** What a run costs on one preset. */
export interface RunEnergy {
  readonly energyPerImageMicrojoules: number;
  readonly inferenceTestSetJoules: number;
  /** From the backbone to the task, once. */
  readonly reprogrammingJoules: number;
  readonly totalJoules: number;
  /** Of one cell write: what reprogramming hangs on. */
  readonly cellWritePicojoules: number;
}

/** What differs from run to run. */
export const measuredEnergyKeys = [
  'energyPerImageMicrojoules',
  'inferenceTestSetJoules',
  'reprogrammingJoules',
  'totalJoules',
] as const;

export const energyKeys = [...measuredEnergyKeys, 'cellWritePicojoules'] as const;

/** Energies by run name, then by preset. */
export type RunEnergies = ReadonlyMap<string, Readonly<Record<string, RunEnergy>>>;

/** Prices runs on every preset; one that cannot be priced costs the others nothing. */
export async function priceRuns(
  runs: readonly FinishedRun[],
  presets: readonly HardwareDescription[],
): Promise<Pricing> {
  const groups: PricedGroup[] = [];
  const unpriced: UnpricedRun[] = [];
  for (const group of ofOneBackbone(runs)) {
    const read = resultsReader();
    for (const preset of presets) await price(group, preset, read);
  }
  return { groups, unpriced };

  async function price(
    group: readonly FinishedRun[],
    preset: HardwareDescription,
    read: ResultsReader,
  ): Promise<void> {
    try {
      groups.push(await priceGroup(group, preset, read));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const [{ run }] = group;
      if (group.length > 1) for (const one of group) await price([one], preset, read);
      else unpriced.push({ run, preset: preset.name, reason: inOneLine(error) });
    }
  }
}

type ResultsReader = (group: readonly FinishedRun[], needLevels: boolean) => Promise<RunResults>;

/** Reads the files of the same runs once, however many presets they are priced on. */
function resultsReader(): ResultsReader {
  const known = new Map<string, Promise<RunResults>>();
  return (group, needLevels) => {
    const key = JSON.stringify([needLevels, group.map(({ run }) => run.name)]);
    const results =
      known.get(key) ??
      readRunResults(
        group.map(({ folder }) => folder),
        { needLevels },
      );
    known.set(key, results);
    return results;
  };
}

async function priceGroup(
  group: readonly FinishedRun[],
  preset: HardwareDescription,
  read: ResultsReader,
): Promise<PricedGroup> {
  const [{ run, summary }] = group;
  const hardware = hardwareForRuns(preset, summary);
  const results = await read(group, preset.policies.piggybackCells === 'digit-changes');
  const report = hardwareReport(results.network, hardware, results.set);
  const costs = group.map(({ run }) => [run.name, report.tasks[run.task].methods[run.method]!] as const);
  return { preset: preset.name, report, seed: run.seed, variant: run.variant, costs: new Map(costs) };
}

/** The energies of priced runs, by run. */
export function energiesOf({ groups }: Pricing): RunEnergies {
  const energies = new Map<string, Record<string, RunEnergy>>();
  for (const { preset, costs } of groups) {
    for (const [run, cost] of costs) {
      const energy = Object.fromEntries(energyKeys.map((key) => [key, cost[key]])) as unknown as RunEnergy;
      energies.set(run, { ...energies.get(run), [preset]: energy });
    }
  }
  return energies;
}

/** Groups of one backbone, image size, seed and variant: in them a task and method occur once. */
function ofOneBackbone(runs: readonly FinishedRun[]): FinishedRun[][] {
  const groups = new Map<string, FinishedRun[]>();
  for (const finished of runs) {
    const { run, summary } = finished;
    const { network, backboneSha256, weightBits, activationBits, imageSize } = summary;
    const bits = [weightBits, activationBits];
    const key = JSON.stringify([network, backboneSha256, ...bits, imageSize, run.variant, run.seed]);
    groups.set(key, [...(groups.get(key) ?? []), finished]);
  }
  return [...groups.values()];
}
