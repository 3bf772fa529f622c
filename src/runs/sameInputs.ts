/**
 * @file Whether a finished run still answers for its experiment. The config hash leaves out folders, so the files that
 * an experiment names may have become others since.
 */
import type { Experiment } from '../config/schema.js';
import type { DataSet, Split } from '../data/types.js';
import { UserError } from '../errors.js';
import { fileSha256 } from '../model/hash.js';
import { findWeights } from '../model/resolve.js';
import { isStoredBackbone, readBackboneMetadata } from '../model/store.js';
import { findStored } from './findBackbone.js';
import { type DecodeOptions, hashSplit } from './openExperiment.js';
import type { RunFolder } from './runFolder.js';
import type { RunSummary } from './summary.js';

/** What was compared: `differs` and `unknown` say how, in words. */
export type Comparison =
  | { readonly is: 'same' }
  | { readonly is: 'different'; readonly differs: string }
  | { readonly is: 'unknown'; readonly why: string };

const SAME: Comparison = { is: 'same' };
const NOT_NOTED: Comparison = {
  is: 'unknown',
  why: 'an older version of xbm trained it and did not note them',
};

/** Compares the backbone that an experiment names with the one that a run was trained on; makes none. */
export async function compareBackbone(
  experiment: Experiment,
  { backboneSha256 }: Pick<RunSummary, 'backboneSha256'>,
): Promise<Comparison> {
  const { weights, weightBits, activationBits } = experiment.backbone;
  const differs = (is: string) => ({
    is: 'different' as const,
    differs: `it was trained on backbone ${short(backboneSha256)}, ${is}`,
  });
  try {
    const path = await findWeights(weights);
    if (await isStoredBackbone(path)) {
      const stored = await readBackboneMetadata(path);
      if (stored.sha256 === backboneSha256) return SAME;
      if (stored.weightBits === weightBits && stored.activationBits === activationBits)
        return differs(`${path} is ${short(stored.sha256)}`);
    }
    // Float weights: the run's own backbone says which file it was made from.
    const own = await findStored(weights, backboneSha256);
    if (own === null) {
      return { is: 'unknown', why: `the store no longer has backbone ${short(backboneSha256)}` };
    }
    const { sourceSha256 } = await readBackboneMetadata(own);
    const now = await fileSha256(path);
    return now === sourceSha256
      ? SAME
      : differs(`made from a file of SHA-256 ${short(sourceSha256)}; ${path} is ${short(now)}`);
  } catch (error) {
    if (error instanceof UserError) return { is: 'unknown', why: error.message };
    throw error;
  }
}

/** The images that an experiment names now. */
export interface PresentImages {
  readonly root: string;
  readonly train: PresentSplit;
  readonly test: PresentSplit;
}

interface PresentSplit {
  readonly count: number;
  readonly hash: string;
}

/** Reads the training and test images of an experiment; decodes what the pixel cache lacks. */
export async function presentImages(
  experiment: Experiment,
  dataSet: DataSet,
  options: DecodeOptions,
): Promise<PresentImages> {
  const read = async (split: Split) => ({
    count: dataSet[split].length,
    hash: await hashSplit(experiment, dataSet, split, options),
  });
  return { root: dataSet.root, train: await read('train'), test: await read('test') };
}

/**
 * Compares images with those that a run was trained and tested on.
 * @param read gives the images, or why there are none; not asked when the run noted nothing to compare with
 */
export async function compareImages(
  summary: RunSummary,
  read: () => Promise<PresentImages | UserError>,
): Promise<Comparison> {
  const { trainImages, testImages, trainImagesHash, testImagesHash } = summary;
  if (trainImagesHash === undefined || testImagesHash === undefined) return NOT_NOTED;
  const now = await read();
  if (now instanceof UserError) return { is: 'unknown', why: now.message };
  const others: string[] = [];
  const compare = (split: string, { count, hash }: PresentSplit, then: PresentSplit) => {
    if (count !== then.count) others.push(`${count} ${split} images instead of ${then.count}`);
    else if (hash !== then.hash) others.push(`other ${split} images (names, labels or pixels)`);
  };
  compare('training', now.train, { count: trainImages, hash: trainImagesHash });
  compare('test', now.test, { count: testImages, hash: testImagesHash });
  return others.length === 0 ? SAME : { is: 'different', differs: `${now.root} has ${others.join(' and ')}` };
}

/** @throws UserError naming the run folder and all that differs */
export function requireSame(folder: RunFolder, comparisons: readonly Comparison[]): void {
  const differences = comparisons.flatMap((one) => (one.is === 'different' ? [one.differs] : []));
  if (differences.length === 0) return;
  throw new UserError(
    `${folder.path}: this finished run was trained on other files: ${differences.join('; ')}`,
    'Give the files it was trained on, keep results in another folder, or delete or rename this run; --force trains it anew.',
  );
}

const short = (sha256: string): string => `${sha256.slice(0, 12)}…`;
