/** @file Opens a data set by task name. */
import { resolve } from 'node:path';
import { UserError } from '../errors.js';
import type { Adapter, OfficialSplit } from './adapter.js';
import { readCars } from './cars.js';
import { readCubs } from './cubs.js';
import { requireRoot } from './files.js';
import { readFlowers } from './flowers.js';
import { readFolder } from './folder.js';
import { readSketches } from './sketches.js';
import { holdOut } from './split.js';
import type { DataSet, TaskName } from './types.js';
import { readWikiart } from './wikiart.js';

const adapters: Readonly<Record<TaskName, Adapter>> = {
  cubs: readCubs,
  cars: readCars,
  flowers: readFlowers,
  wikiart: readWikiart,
  sketches: readSketches,
  folder: readFolder,
};

export interface DataSetOptions {
  readonly task: TaskName;
  readonly root: string;
  /** null: found out from the data. */
  readonly edition?: '2011' | '2010' | null;
  /** Crop to the bounding box; null: the task's protocol. */
  readonly crop?: boolean | null;
  /** Per cent of each class that trains, for folders without a split of their own. */
  readonly trainPercent?: number;
  /** Per cent of the train split held out for validation. */
  readonly validationPercent?: number;
  /** Chooses what is held out for validation; the test split never depends on it. */
  readonly seed?: number;
}

/**
 * Reads a data set's own files; decodes nothing.
 * @throws UserError naming the file and line that is missing or wrong
 */
export async function openDataSet(options: DataSetOptions): Promise<DataSet> {
  const { task, edition = null, crop = null, trainPercent = 80, validationPercent = 0, seed = 0 } = options;
  const adapter = adapters[task];
  if (!adapter)
    throw new UserError(`unknown task "${task}"`, `Use one of: ${Object.keys(adapters).join(', ')}.`);
  const root = resolve(options.root);
  requireRoot(task, root);
  const split = readOfficialSplit(adapter, { root, edition, crop, trainPercent });
  for (const part of ['train', 'test'] as const) {
    if (split[part].length === 0) {
      throw new UserError(
        `the ${part} split of task ${task} in ${root} is empty`,
        'datasets.md shows where its images belong.',
      );
    }
  }
  return {
    task,
    root,
    classes: split.classes,
    officialTrain: split.train,
    test: split.test,
    ...holdOut(split.train, validationPercent, seed),
  };
}

/** Turns the file system's refusals into messages; everything else an adapter throws passes. */
function readOfficialSplit(adapter: Adapter, options: Parameters<Adapter>[0]): OfficialSplit {
  try {
    return adapter(options);
  } catch (error) {
    const { code, path, message } = error as NodeJS.ErrnoException;
    if (error instanceof UserError || code === undefined || path === undefined) throw error;
    throw new UserError(`${path} cannot be read: ${message}`, 'Check the file and its permissions.');
  }
}
