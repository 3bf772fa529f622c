/** @file Opens what an experiment names: data set, engine, backbone, loaders. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { configHash } from '../config/hash.js';
import { experimentToYaml } from '../config/print.js';
import type { Experiment } from '../config/schema.js';
import {
  createLoader,
  type DataSet,
  hashImages,
  openDataSet,
  protocols,
  type Sample,
  type Split,
} from '../data/index.js';
import type { BatchLoader } from '../data/types.js';
import type { Engine, EngineName } from '../engines/engine.js';
import { openEngine } from '../engines/registry.js';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { xbmHome } from '../paths.js';
import type { RunInputs } from './executeRun.js';

export interface DecodeOptions {
  /** Told while images are decoded into the pixel cache. */
  readonly onDecode?: (split: Split, done: number, total: number) => void;
  /** Stops decoding; what is decoded is kept. */
  readonly signal?: AbortSignal;
}

/**
 * The data set of an experiment: its `data.root`, else `$XBM_DATA/<task>`.
 * @throws UserError also when there is only one class
 */
export async function openExperimentData(
  experiment: Experiment,
  env: Readonly<Record<string, string | undefined>>,
): Promise<DataSet> {
  const { task, data, training } = experiment;
  const root = data.root ?? (env.XBM_DATA ? join(env.XBM_DATA, task) : null);
  if (root === null) {
    throw new UserError(
      `where are the images of task ${task}? data.root is not set, nor is $XBM_DATA`,
      `Add --set data.root=FOLDER, or set XBM_DATA to the folder that holds ${task}/.`,
    );
  }
  const { edition, crop, trainPercent, validationPercent } = data;
  const { seed } = training;
  const dataSet = await openDataSet({ task, root, edition, crop, trainPercent, validationPercent, seed });
  if (dataSet.classes.length < 2) {
    throw new UserError(
      `${dataSet.root} has a single class (${dataSet.classes.join()}): there is nothing to tell apart`,
      'Give each class a folder of its own; see datasets.md.',
    );
  }
  return dataSet;
}

/** One serves 1,300 random crops of 224 px a second (docs/performance.md): no engine outruns eight. */
const defaultWorkers = () => Math.min(8, availableParallelism());

/** A loader of one split: the train split shuffled and augmented, the others in order. */
export function openSplit(
  experiment: Experiment,
  dataSet: DataSet,
  split: Split,
  options: DecodeOptions,
  samples: readonly Sample[] = dataSet[split],
  mode: 'train' | 'evaluate' = split === 'train' ? 'train' : 'evaluate',
): Promise<BatchLoader> {
  const { data, training } = experiment;
  const { batchSize, seed } = training;
  const pixels = pixelOptions(experiment, split, samples, options);
  return createLoader({ ...pixels, mode, batchSize, seed, workers: data.workers ?? defaultWorkers() });
}

/** The `imagesHash` of the loader that {@link openSplit} opens; decodes what the pixel cache lacks. */
export function hashSplit(
  experiment: Experiment,
  dataSet: DataSet,
  split: Split,
  options: DecodeOptions,
  samples: readonly Sample[] = dataSet[split],
): Promise<string> {
  return hashImages(pixelOptions(experiment, split, samples, options));
}

/** How an experiment's images become its network's input. */
export function imageForm({ data, training, task }: Pick<Experiment, 'data' | 'training' | 'task'>) {
  const { imageSize } = training;
  return { augmentation: data.augmentation ?? protocols[task].augmentation, imageSize };
}

function pixelOptions(
  { data, training, task }: Experiment,
  split: Split,
  samples: readonly Sample[],
  { onDecode, signal }: DecodeOptions,
) {
  return {
    samples,
    ...imageForm({ data, training, task }),
    cacheFolder: data.cache ?? join(xbmHome(), 'cache'),
    onProgress: (done: number, total: number) => onDecode?.(split, done, total),
    signal,
  };
}

/** Opens the engine of an experiment. */
export async function openExperimentEngine(
  experiment: Experiment,
  name?: EngineName,
): Promise<{ engine: Engine; why: string }> {
  return openEngine(name ?? experiment.engine, { threads: experiment.threads });
}

/** Closes all loaders, each once. */
export async function closeLoaders(loaders: readonly (BatchLoader | null)[]): Promise<void> {
  await Promise.all([...new Set(loaders)].map((loader) => loader?.close()));
}

/** Loaders of an experiment; when one cannot be opened, those before it are closed again. */
export async function openLoaders(
  experiment: Experiment,
  dataSet: DataSet,
  options: DecodeOptions,
): Promise<RunInputs['loaders']> {
  const opened: BatchLoader[] = [];
  const open = async (split: Split): Promise<BatchLoader> => {
    const loader = await openSplit(experiment, dataSet, split, options);
    opened.push(loader);
    return loader;
  };
  try {
    const train = await open('train');
    const validation = dataSet.validation.length > 0 ? await open('validation') : null;
    return { train, validation, test: await open('test') };
  } catch (error) {
    await closeLoaders(opened);
    throw error;
  }
}

/** What {@link executeRun} takes, from the parts. */
export function runInputs(
  experiment: Experiment,
  dataSet: DataSet,
  backbone: Backbone,
  engine: Engine,
  loaders: RunInputs['loaders'],
): RunInputs {
  return {
    experiment,
    configHash: configHash(experiment),
    configText: experimentToYaml(experiment),
    backbone,
    classes: dataSet.classes,
    engine,
    loaders,
  };
}
