/** @file Results of trained runs: accuracy from summary.json, masks and levels from task.safetensors. */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { rowsPerBit } from '../adaption/geometry.js';
import type { Task } from '../adaption/task.js';
import { loadExperiment } from '../config/load.js';
import { UserError } from '../errors.js';
import type { LayerMask } from '../hardware/gating.js';
import { type CrossbarNetwork, crossbarNetwork } from '../hardware/network.js';
import type { StoredWeights } from '../hardware/reprogramming.js';
import type { Backbone, ConvWeights } from '../model/backbone.js';
import { layersOfKind } from '../model/graph.js';
import { loadBackbone } from '../model/store.js';
import { requireBackbone } from '../runs/findBackbone.js';
import type { RunFolder } from '../runs/runFolder.js';
import type { RunSummary } from '../runs/summary.js';
import { taskLabel } from '../runs/taskLabel.js';
import type { ResultSet, TaskResult } from './results.js';
import { trainingAssumptions } from './trainingAssumptions.js';

export interface RunResults {
  readonly network: CrossbarNetwork;
  readonly weightBits: number;
  readonly activationBits: number;
  readonly set: ResultSet;
}

export interface RunResultOptions {
  /** Height and width of the images to price; default: the size the runs were trained on. */
  readonly imageSize?: number;
  /** The quantised backbone, when the one that the run's config names is elsewhere now. */
  readonly backboneFile?: string;
  /** Levels of the backbone are needed although no run is fine-tuned: a policy compares digits. */
  readonly needLevels: boolean;
}

/**
 * The hardware description that the configs of all runs name.
 * @throws UserError when they name different ones
 */
export function hardwareOfRuns(folders: readonly RunFolder[]): string {
  const names = [...new Set(folders.map(({ config }) => loadExperiment({ config }).hardware))];
  if (names.length === 1) return names[0];
  throw new UserError(`the runs name different hardware: ${names.join(', ')}`, 'Choose with --preset.');
}

interface Run {
  readonly folder: RunFolder;
  readonly summary: RunSummary;
  readonly label: string;
}

/**
 * Reads finished runs, one per task and method.
 * @throws UserError when two are of one task and method, or they are of different networks or backbones
 */
export async function readRunResults(
  folders: readonly RunFolder[],
  options: RunResultOptions,
): Promise<RunResults> {
  const chosen = distinctRuns(folders);
  const [first] = chosen;
  for (const key of ['network', 'backboneSha256', 'weightBits', 'activationBits'] as const) {
    const other = chosen.find(({ summary }) => summary[key] !== first.summary[key]);
    if (other) {
      throw new UserError(
        `the runs differ in ${key}: ${short(first.summary[key])} in ${basename(first.folder.path)}, ${short(other.summary[key])} in ${basename(other.folder.path)}`,
        'Choose runs of one backbone with --run.',
      );
    }
  }
  const imageSize = options.imageSize ?? commonImageSize(chosen);
  const tasks = await Promise.all(chosen.map(({ folder }) => folder.readTask()));
  const results = chosen.map((run, i) => taskResult(run, tasks[i]));
  const levelsNeeded = options.needLevels || results.some(({ stored }) => stored.kind === 'levels');
  const backbone = levelsNeeded ? await backboneOf(first, options.backboneFile) : undefined;
  return {
    network: crossbarNetwork(tasks[0].graph, imageSize),
    weightBits: first.summary.weightBits,
    activationBits: first.summary.activationBits,
    set: {
      source: `trained runs: ${chosen.map(({ folder }) => basename(folder.path)).join(', ')}`,
      results,
      backboneLevels: backbone && levelsOf(backbone.convs),
      assumptions: trainingAssumptions(tasks.map(({ method }) => method)),
    },
  };
}

const short = (value: string | number): string => String(value).slice(0, 12);

/** Of several runs of one task and method the newest, and the others. */
export function newestRuns(folders: readonly RunFolder[]): {
  readonly newest: RunFolder[];
  readonly older: RunFolder[];
} {
  const newest = new Map<string, RunFolder>();
  const older: RunFolder[] = [];
  const byAge = folders
    .map((folder) => ({ folder, time: statSync(folder.summary).mtimeMs }))
    .sort((a, b) => b.time - a.time);
  for (const { folder } of byAge) {
    const key = kindOf(readRun(folder));
    if (newest.has(key)) older.push(folder);
    else newest.set(key, folder);
  }
  return { newest: [...newest.values()], older };
}

function readRun(folder: RunFolder): Run {
  const summary = folder.readSummary();
  return { folder, summary, label: taskLabel(summary) };
}

const kindOf = ({ label, summary }: Run): string => `task ${label} with method ${summary.method}`;

/** By folder. */
function distinctRuns(folders: readonly RunFolder[]): Run[] {
  const runs = folders.map(readRun).sort((a, b) => (a.folder.path < b.folder.path ? -1 : 1));
  if (runs.length === 0) throw new UserError('no finished run', 'Train one with `xbm train`.');
  for (const [i, run] of runs.entries()) {
    const other = runs.slice(0, i).find((earlier) => kindOf(earlier) === kindOf(run));
    if (!other) continue;
    throw new UserError(
      `two runs of ${kindOf(run)}: ${basename(other.folder.path)} and ${basename(run.folder.path)}`,
      'Name one of them with --run; `xbm reproduce` averages over seeds.',
    );
  }
  return runs;
}

function commonImageSize(runs: readonly Run[]): number {
  const sizes = [...new Set(runs.map(({ summary }) => summary.imageSize))];
  if (sizes.length === 1) return sizes[0];
  throw new UserError(
    `the runs were trained at different image sizes: ${sizes.join(', ')} pixels`,
    'Choose the size to price with --image-size, or runs of one size with --run.',
  );
}

function taskResult({ folder, summary, label }: Run, task: Task): TaskResult {
  const { mask, trainWeights } = task.method;
  const masks: Record<string, LayerMask> = {};
  if (mask) {
    for (const conv of layersOfKind(task.graph, 'conv')) {
      masks[conv.name] = { rowsPerBit: rowsPerBit(conv, mask), bits: task.masks[conv.name] };
    }
  }
  // Columns and channels are switched off at run time; finer masks must be written into the cells.
  const switched = mask && (mask.granularity === 'column' || mask.granularity === 'channel');
  let stored: StoredWeights = { kind: 'backbone' };
  if (trainWeights) stored = { kind: 'levels', levels: levelsOf(task.convs) };
  else if (mask && !switched) stored = { kind: 'masked', masks };
  return {
    task: label,
    method: summary.method,
    source: basename(folder.path),
    accuracy: summary.accuracy,
    testImages: summary.testImages,
    classes: summary.classes,
    trainsBatchNorm: task.method.trainBatchNorm,
    maskBits: summary.maskBits,
    shareOff: summary.shareOff,
    gating: switched ? { kind: 'masks', masks } : { kind: 'none' },
    stored,
  };
}

function levelsOf(convs: Readonly<Record<string, ConvWeights>>): Record<string, Int8Array> {
  return Object.fromEntries(
    Object.entries(convs).map(([name, weights]) => {
      if (weights.kind === 'levels') return [name, weights.levels];
      throw new UserError(
        `the weights of ${name} are full precision: there are no cell levels to compare`,
        'Use runs on a quantised backbone.',
      );
    }),
  );
}

const weightsOf = (run: Run) => loadExperiment({ config: run.folder.config }).backbone.weights;

async function backboneOf(run: Run, file: string | undefined): Promise<Backbone> {
  let backbone: Backbone;
  try {
    backbone = file
      ? (await loadBackbone(file)).backbone
      : await requireBackbone(weightsOf(run), run.summary.backboneSha256);
  } catch (error) {
    if (!(error instanceof UserError) || file) throw error;
    throw new UserError(
      `level changes need the backbone of the runs: ${error.message}`,
      'Name its file with --backbone.',
    );
  }
  if (backbone.sha256 === run.summary.backboneSha256) return backbone;
  throw new UserError(
    `the runs were trained on backbone ${run.summary.backboneSha256.slice(0, 12)}…, this one is ${backbone.sha256.slice(0, 12)}…`,
    'Name the backbone of the runs with --backbone.',
  );
}
