/** @file The hardware report as data: what tables, charts and JSON are made of. */
import type { MethodName } from '../adaption/method.js';
import { UserError } from '../errors.js';
import { type Area, chipArea } from '../hardware/area.js';
import type { HardwareDescription } from '../hardware/description.js';
import { type EnergyRows, type ImageEnergy, imageEnergy } from '../hardware/energy.js';
import { type Gating, networkActivity } from '../hardware/gating.js';
import { imageLatency, type Latency } from '../hardware/latency.js';
import { mapNetwork, type NetworkMapping } from '../hardware/mapping.js';
import { type TaskMemory, taskMemory } from '../hardware/memory.js';
import { type CrossbarNetwork, withHead } from '../hardware/network.js';
import { type Rates, ratesOf } from '../hardware/rates.js';
import { addRewrites, headRewrite, rewriteBetween, type StoredWeights } from '../hardware/reprogramming.js';
import { type Wear, wearOf } from '../hardware/wear.js';
import { cellWritePicojoules } from '../hardware/writes.js';
import { METHOD_ORDER, type ResultSet, type TaskResult } from './results.js';

export interface MethodCosts {
  readonly source: string;
  /** Top-1, per cent; null when unknown. */
  readonly accuracy: number | null;
  /** Of the mask bits, per cent. */
  readonly shareOff: number;
  readonly energyPerImageMicrojoules: number;
  readonly energyRowsMicrojoules: EnergyRows;
  /** The same network, with the task's head, without masks. */
  readonly withoutMasks: Pick<MethodCosts, 'energyPerImageMicrojoules' | 'energyRowsMicrojoules'>;
  /** What the same share would cost if it were uniform; null without column masks. */
  readonly uniformShareEnergyPerImageMicrojoules: number | null;
  readonly inferenceTestSetJoules: number;
  /** From the backbone to this task, once. */
  readonly reprogrammingJoules: number;
  readonly reprogrammingSeconds: number;
  readonly cellsWritten: number;
  /** Writes of all cells. */
  readonly cellWrites: number;
  /** Energy of one cell write, on which all reprogramming hangs. */
  readonly cellWritePicojoules: number;
  readonly totalJoules: number;
  /** Total / XBM's total; null when there is no XBM result of the task. */
  readonly ratioToXbm: number | null;
  /** Total / inference alone. */
  readonly ratioToInference: number;
  readonly wear: Wear;
  readonly memoryBytes: TaskMemory;
}

export interface TaskCosts {
  readonly testImages: number;
  readonly classes: number;
  readonly methods: Readonly<Partial<Record<MethodName, MethodCosts>>>;
}

/** Energy of switching from any task to any other under one method. */
export interface SwitchMatrix {
  /** `backbone`, then the tasks. */
  readonly states: readonly string[];
  /** [from][to], J. */
  readonly joules: readonly (readonly number[])[];
}

/** The chip holds every task: where the head is mapped, it has the most classes of any of them. */
export interface HardwareReport {
  readonly network: CrossbarNetwork;
  readonly hardware: HardwareDescription;
  readonly rates: Rates;
  readonly mapping: NetworkMapping;
  /** Without masks. */
  readonly energy: ImageEnergy;
  readonly area: Area;
  readonly latency: Latency;
  readonly cellWritePicojoules: number;
  readonly tasks: Readonly<Record<string, TaskCosts>>;
  readonly switching: Readonly<Partial<Record<MethodName, SwitchMatrix>>>;
  /** Where the results come from. */
  readonly source: string;
  readonly assumptions: readonly string[];
}

/** Methods that occur in a report, in printing order. */
export function methodsOf(report: Pick<HardwareReport, 'tasks'>): MethodName[] {
  return METHOD_ORDER.filter((method) => Object.values(report.tasks).some((task) => task.methods[method]));
}

/** Methods that write cells. */
export function rewritingMethods(report: HardwareReport): MethodName[] {
  return methodsOf(report).filter((method) =>
    Object.values(report.tasks).some((task) => (task.methods[method]?.cellWrites ?? 0) > 0),
  );
}

/**
 * Prices every result on a chip.
 * @throws UserError when two results are of one task and method, or a policy needs what a result lacks
 */
export function hardwareReport(
  network: CrossbarNetwork,
  hardware: HardwareDescription,
  set: ResultSet,
): HardwareReport {
  const rates = ratesOf(hardware);
  const classes = set.results.map((result) => result.classes);
  const chip = classes.length > 0 ? withHead(network, Math.max(...classes)) : network;
  const mapping = mapNetwork(chip, rates);
  const tasks: Record<string, TaskCosts> = {};
  for (const task of new Set(set.results.map((result) => result.task))) {
    tasks[task] = taskCosts(
      network,
      hardware,
      set,
      set.results.filter((result) => result.task === task),
    );
  }
  const switching: Partial<Record<MethodName, SwitchMatrix>> = {};
  for (const method of METHOD_ORDER) {
    const results = set.results.filter((result) => result.method === method);
    if (results.length > 0) switching[method] = switchMatrix(network, hardware, set, results);
  }
  return {
    network,
    hardware,
    rates,
    mapping,
    energy: imageEnergy(mapping, rates),
    area: chipArea(hardware, mapping),
    latency: imageLatency(hardware, mapping),
    cellWritePicojoules: cellWritePicojoules(hardware),
    tasks,
    switching,
    source: set.source,
    assumptions: set.assumptions,
  };
}

function taskCosts(
  network: CrossbarNetwork,
  hardware: HardwareDescription,
  set: ResultSet,
  results: readonly TaskResult[],
): TaskCosts {
  const { task, testImages, classes } = results[0];
  const priced = new Map<MethodName, Omit<MethodCosts, 'ratioToXbm'>>();
  for (const result of results) {
    if (priced.has(result.method)) {
      throw new UserError(
        `two results of task ${task} with method ${result.method}: ${result.source}`,
        'Choose one of the runs with --run.',
      );
    }
    if (result.testImages !== testImages || result.classes !== classes) {
      throw new UserError(
        `the results of task ${task} were measured on different data: ${result.testImages} and ${testImages} test images, ${result.classes} and ${classes} classes`,
        'Choose runs of one data set with --run.',
      );
    }
    priced.set(result.method, methodCosts(withHead(network, classes), hardware, set, result));
  }
  const xbm = priced.get('xbm');
  const methods: Partial<Record<MethodName, MethodCosts>> = {};
  for (const method of METHOD_ORDER) {
    const costs = priced.get(method);
    if (costs) methods[method] = { ...costs, ratioToXbm: xbm ? costs.totalJoules / xbm.totalJoules : null };
  }
  return { testImages, classes, methods };
}

function methodCosts(
  network: CrossbarNetwork,
  hardware: HardwareDescription,
  set: ResultSet,
  result: TaskResult,
): Omit<MethodCosts, 'ratioToXbm'> {
  const rates = ratesOf(hardware);
  const mapping = mapNetwork(network, rates);
  const price = (gating: Gating) =>
    imageEnergy(
      mapping,
      rates,
      naming(result, set, () => networkActivity(mapping, rates, gating)),
    );
  const energy = price(result.gating);
  const none = imageEnergy(mapping, rates);
  const uniform =
    result.gating.kind === 'none' ? null : price({ kind: 'share', shareOff: result.shareOff / 100 });
  const rewrite = addRewrites(
    rewriteBetween(network, hardware, { kind: 'backbone' }, result.stored, set.backboneLevels),
    headRewrite(network, hardware),
  );
  const inferenceTestSetJoules = energy.picojoules * 1e-12 * result.testImages;
  const totalJoules = inferenceTestSetJoules + rewrite.joules;
  return {
    source: result.source,
    accuracy: result.accuracy,
    shareOff: result.shareOff,
    energyPerImageMicrojoules: energy.picojoules * 1e-6,
    energyRowsMicrojoules: scaleRows(energy.rows, 1e-6),
    withoutMasks: {
      energyPerImageMicrojoules: none.picojoules * 1e-6,
      energyRowsMicrojoules: scaleRows(none.rows, 1e-6),
    },
    uniformShareEnergyPerImageMicrojoules: uniform ? uniform.picojoules * 1e-6 : null,
    inferenceTestSetJoules,
    reprogrammingJoules: rewrite.joules,
    reprogrammingSeconds: rewrite.seconds,
    cellsWritten: rewrite.cells,
    cellWrites: rewrite.cellWrites,
    cellWritePicojoules: cellWritePicojoules(hardware),
    totalJoules,
    ratioToInference: totalJoules / inferenceTestSetJoules,
    wear: wearOf(rewrite, mapping.usedCells, hardware),
    memoryBytes: taskMemory(network, result, hardware.precision.weightBits.value),
  };
}

/** Says which result an error is about, where there are several. */
function naming<T>({ source }: TaskResult, set: ResultSet, compute: () => T): T {
  try {
    return compute();
  } catch (error) {
    if (!(error instanceof UserError) || set.results.length === 1) throw error;
    throw new UserError(`${source}: ${error.message}`, error.hint);
  }
}

/** What the masks of a method save per image, per cent; 0 without masks that switch columns off. */
export function savedPercent(costs: Pick<MethodCosts, 'energyPerImageMicrojoules' | 'withoutMasks'>): number {
  return 100 * (1 - costs.energyPerImageMicrojoules / costs.withoutMasks.energyPerImageMicrojoules);
}

/** The same rows in another unit. */
export function scaleRows(rows: EnergyRows, factor: number): EnergyRows {
  return Object.fromEntries(
    Object.entries(rows).map(([key, value]) => [key, value * factor]),
  ) as unknown as EnergyRows;
}

function switchMatrix(
  network: CrossbarNetwork,
  hardware: HardwareDescription,
  set: ResultSet,
  results: readonly TaskResult[],
): SwitchMatrix {
  const stored: StoredWeights[] = [{ kind: 'backbone' }, ...results.map((result) => result.stored)];
  const head = [0, ...results.map(({ classes }) => headRewrite(withHead(network, classes), hardware).joules)];
  const joules = stored.map(() => new Array<number>(stored.length).fill(0));
  for (let i = 0; i < stored.length; i++) {
    for (let j = 0; j < i; j++) {
      // The same cells change on the way there and back.
      const between = rewriteBetween(network, hardware, stored[i], stored[j], set.backboneLevels).joules;
      joules[i][j] = between + head[j];
      joules[j][i] = between + head[i];
    }
  }
  return { states: ['backbone', ...results.map((result) => result.task)], joules };
}
