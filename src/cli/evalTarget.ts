/** @file What `xbm eval` measures: the task of a run or a task file, and the experiment that says on which images. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { plainValues } from '../config/layer.js';
import type { Experiment } from '../config/schema.js';
import { UserError } from '../errors.js';
import type { RunFolder } from '../runs/runFolder.js';
import type { RunSummary } from '../runs/summary.js';
import { type ExperimentArguments, loadExperimentFrom } from './experiment.js';
import type { Io } from './io.js';
import { refuseUnfinished, selectRun } from './selectRun.js';

export interface TargetArguments extends ExperimentArguments {
  readonly run?: string;
  readonly file?: string;
  readonly backbone?: string;
  readonly out?: string;
}

export interface Target {
  readonly file: string;
  readonly experiment: Experiment;
  /** Where the files go; null: nowhere. */
  readonly out: string | null;
  /** By --backbone: that one and no other. */
  readonly backboneIsNamed: boolean;
  /** Of the run that the task belongs to. */
  readonly summary: RunSummary | null;
}

/** Finds it. @throws UserError when there is none, or a --set would change what was trained */
export function findTarget(config: string | undefined, args: TargetArguments, io: Io): Promise<Target> {
  if (args.file !== undefined) return fileTarget(config, args.file, args, io);
  return config !== undefined || args.method !== undefined
    ? experimentTarget(config, args, io)
    : runTarget(args, io);
}

/** What the measurement of a trained task reads of its experiment; its backbone is another only by --backbone. */
const readOfRun = [
  ...['data.root', 'data.cache', 'data.workers', 'data.crop', 'data.augmentation'],
  ...['training.batchSize', 'engine', 'threads'],
];

/** The same of an experiment that says on which images a task file is measured. */
const readOfConfig = ['task', 'data', 'backbone', 'training.batchSize', 'engine', 'threads'];

/** A run's own config; --set and --engine change it, as for data that moved. */
async function runTarget(args: TargetArguments, io: Io): Promise<Target> {
  await requireRead(args.set, readOfRun);
  const run = await selectRun(args.run, args.task, io);
  return targetOf(run, await loadExperimentFrom(run.config, ownSettings(args), io), args, io);
}

/** The run that `xbm train` leaves with the same arguments; --backbone and --engine may be others than then. */
async function experimentTarget(config: string | undefined, args: TargetArguments, io: Io): Promise<Target> {
  if (args.run !== undefined)
    throw new UserError('--run and a config or --method both name a run', 'Give one of them.');
  const { configHash } = await import('../config/hash.js');
  const { RunFolder, runName, runsFolder } = await import('../runs/runFolder.js');
  const folderOf = async (engine: string | undefined) => {
    const experiment = await loadExperimentFrom(config, { ...args, engine }, io);
    return new RunFolder(join(runsFolder(io.cwd), runName(experiment, configHash(experiment))));
  };
  const candidates = [await folderOf(args.engine), await folderOf(undefined)];
  const run = candidates.find(({ status }) => status === 'finished');
  if (!run) {
    candidates.forEach(refuseUnfinished);
    throw new UserError(
      `${candidates[0].path}: no finished run of this experiment`,
      'Train it: `xbm train` with the same arguments; or name the folder of a run with --run.',
    );
  }
  const settings = { ...args, set: ownSettings(args).set };
  return targetOf(run, await loadExperimentFrom(config, settings, io), args, io);
}

function targetOf(run: RunFolder, experiment: Experiment, args: TargetArguments, io: Io): Target {
  const out = args.out ? resolve(io.cwd, args.out) : run.path;
  const backboneIsNamed = args.backbone !== undefined;
  return { file: run.task, experiment, out, backboneIsNamed, summary: run.readComplete() };
}

/** The config that is named, else the one beside the task file. */
async function fileTarget(
  config: string | undefined,
  name: string,
  args: TargetArguments,
  io: Io,
): Promise<Target> {
  if (args.run !== undefined) throw new UserError('--file and --run both name a task', 'Give one of them.');
  const file = resolve(io.cwd, name);
  const out = args.out ? resolve(io.cwd, args.out) : null;
  const backboneIsNamed = args.backbone !== undefined;
  const settings = ownSettings(args);
  if (config !== undefined || args.task !== undefined) {
    await requireRead(args.set, readOfConfig, 'is not read when a task file is measured');
    const experiment = await loadExperimentFrom(config, { ...args, set: settings.set }, io);
    return { file, experiment, out, backboneIsNamed, summary: null };
  }
  const beside = join(dirname(file), 'config.yaml');
  if (!existsSync(beside)) {
    throw new UserError(
      `${file}: on which images? There is no config.yaml beside it`,
      'Add --task, or a config file.',
    );
  }
  await requireRead(args.set, readOfRun);
  const { RunFolder } = await import('../runs/runFolder.js');
  const run = new RunFolder(dirname(file));
  const isRun = file === run.task && run.status === 'finished';
  const experiment = await loadExperimentFrom(beside, settings, io);
  return { file, experiment, out, backboneIsNamed, summary: isRun ? run.readSummary() : null };
}

function ownSettings({ set = [], engine, backbone }: TargetArguments): ExperimentArguments {
  return { engine, set: backbone === undefined ? set : [...set, `backbone.weights=${backbone}`] };
}

/** @throws UserError when a --set changes a key that is not in the list, saying why */
async function requireRead(
  set: readonly string[] = [],
  read: readonly string[],
  why = 'cannot be changed when a trained task is measured',
): Promise<void> {
  const { parseOverride } = await import('../config/override.js');
  for (const text of set) {
    const idle = plainValues(parseOverride(text).values).find(
      ([key]) => !read.some((known) => key === known || key.startsWith(`${known}.`)),
    );
    if (idle === undefined) continue;
    throw new UserError(
      `--set ${text}: ${idle[0]} ${why}`,
      `What can be set here: ${read.join(', ')}; --backbone names its backbone.`,
    );
  }
}
