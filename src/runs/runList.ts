/** @file What lies in a folder of runs, finished or not, and what tells its runs apart. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hashedContent } from '../config/hash.js';
import { plainValues } from '../config/layer.js';
import { loadExperiment } from '../config/load.js';
import { resolveMethod } from '../config/resolve.js';
import type { Experiment } from '../config/schema.js';
import { UserError } from '../errors.js';
import { peekCheckpoint } from './checkpointFile.js';
import { RunFolder } from './runFolder.js';
import { isOfTask } from './taskLabel.js';

export interface ListedRun {
  readonly folder: string;
  /** `started` has no checkpoint yet; `unreadable`: see `problem`. */
  readonly state: 'finished' | 'unfinished' | 'started' | 'unreadable';
  readonly problem: string | null;
  /** null where nothing readable says what the run is. */
  readonly about: RunFacts | null;
  readonly epochsDone: number | null;
  /** Per cent; null until it is finished. */
  readonly accuracy: number | null;
  /** Of the mask bits, per cent; null until it is finished, and without masks. */
  readonly shareOff: number | null;
  /** Keys of the experiment in which it differs from the other runs of its task and method here, seeds apart. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface RunFacts {
  /** The experiment's name, else its task. */
  readonly task: string;
  readonly method: string;
  readonly network: string;
  readonly weightBits: number;
  readonly activationBits: number;
  readonly granularity: string | null;
  readonly rows: number | null;
  readonly imageSize: number;
  readonly epochs: number;
  readonly seed: number;
}

type Found = Omit<ListedRun, 'settings'> & { readonly experiment: Experiment | null };

/**
 * The runs directly below a folder by task, method and name; other folders are passed over.
 * @param task only runs of this task or experiment name
 */
export async function listRuns(path: string, task?: string): Promise<ListedRun[]> {
  if (!existsSync(path)) return [];
  const folders = readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => new RunFolder(join(path, name)))
    .filter((folder) => folder.status !== 'absent' || existsSync(folder.config));
  const found = await Promise.all(folders.map(look));
  const key = ({ about, folder }: Found) => `${about?.task ?? '~'}\0${about?.method}\0${folder}`;
  found.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  return found
    .filter(({ experiment }) => task === undefined || (experiment && isOfTask(experiment, task)))
    .map(({ experiment, ...run }) => ({ ...run, settings: telling(experiment, found) }));
}

async function look(folder: RunFolder): Promise<Found> {
  const nothing = { epochsDone: null, accuracy: null, shareOff: null, problem: null };
  let known: Pick<Found, 'experiment' | 'about'> = { experiment: null, about: null };
  try {
    if (!existsSync(folder.config))
      throw new UserError(`${folder.path}: this run folder is incomplete: it lacks config.yaml`);
    const experiment = loadExperiment({ config: folder.config });
    known = { experiment, about: factsOf(experiment) };
    return { ...nothing, ...known, ...(await progressOf(folder)), folder: folder.path };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { ...nothing, ...known, state: 'unreadable', problem: error.message, folder: folder.path };
  }
}

async function progressOf(folder: RunFolder) {
  if (folder.status === 'absent') return { state: 'started', epochsDone: 0 } as const;
  if (folder.status === 'unfinished') {
    const { epoch } = await peekCheckpoint(folder.checkpoint);
    return { state: 'unfinished', epochsDone: epoch } as const;
  }
  const { accuracy, shareOff, maskBits, epochs } = folder.readComplete();
  const share = maskBits > 0 ? shareOff : null;
  return { state: 'finished', epochsDone: epochs, accuracy, shareOff: share } as const;
}

function factsOf(experiment: Experiment): RunFacts {
  const { task, name, backbone, method, training } = resolveMethod(experiment);
  const { network, weightBits, activationBits } = backbone;
  const { imageSize, epochs, seed } = training;
  return {
    task: name ?? task,
    method: method.name,
    network,
    weightBits,
    activationBits,
    granularity: method.granularity,
    rows: method.granularity === 'column' ? method.rows : null,
    imageSize,
    epochs,
    seed,
  };
}

function telling(experiment: Experiment | null, all: readonly Found[]): Record<string, unknown> {
  if (!experiment) return {};
  const { task, name, method } = experiment;
  const alike = all.flatMap(({ experiment: other }) =>
    other && other.task === task && other.name === name && other.method.name === method.name
      ? [settingsOf(other)]
      : [],
  );
  return Object.fromEntries(
    Object.entries(settingsOf(experiment)).filter(([key, value]) =>
      alike.some((other) => other[key] !== value),
    ),
  );
}

/** What can change a result, as `key.path`: value, without the seed. */
function settingsOf(experiment: Experiment): Record<string, unknown> {
  const values = plainValues(hashedContent(experiment));
  return Object.fromEntries(values.filter(([key]) => key !== 'training.seed'));
}
