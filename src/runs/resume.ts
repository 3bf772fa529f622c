/** @file Whether a checkpoint may go on, and the checkpoint. */
import { statSync } from 'node:fs';
import { differingKeys } from '../config/difference.js';
import { loadExperiment } from '../config/load.js';
import type { TrainingPlan } from '../engines/engine.js';
import { UserError } from '../errors.js';
import {
  type CheckpointContext,
  peekCheckpoint,
  readCheckpoint,
  type StoredCheckpoint,
} from './checkpointFile.js';
import type { RunFolder } from './runFolder.js';
import type { RunInputs } from './runInputs.js';

/**
 * Reads a run's checkpoint.
 * @throws UserError when it is of another experiment, backbone, data set or engine, or damaged, or the records of the
 * steps before it are gone
 */
export async function resumable(
  folder: RunFolder,
  inputs: RunInputs,
  plan: TrainingPlan,
): Promise<StoredCheckpoint> {
  const problem = await misfit(folder, inputs);
  if (problem !== null) {
    throw new UserError(
      `${folder.checkpoint}: cannot be resumed: ${problem}`,
      'Resume it with what it was trained on, train in another folder, or train again from the start with --force.',
    );
  }
  const stored = await readCheckpoint(folder.checkpoint, plan);
  requireRecords(folder.metrics, stored.metricsBytes);
  return stored;
}

/** @throws UserError when metrics.jsonl has fewer than the `bytes` it had at the checkpoint */
export function requireRecords(metrics: string, bytes: number): void {
  const size = statSync(metrics, { throwIfNoEntry: false })?.size;
  if (size !== undefined && size >= bytes) return;
  const found = size === undefined ? 'is missing' : `has ${size} bytes`;
  throw new UserError(
    `${metrics}: ${found}; at the checkpoint it had ${bytes} bytes: records of the steps before it are gone`,
    'Restore the file, or train again from the start with --force.',
  );
}

/** Why a checkpoint cannot go on with these inputs; told from its header, before any tensor is looked at. */
async function misfit(folder: RunFolder, inputs: RunInputs): Promise<string | null> {
  const then = await peekCheckpoint(folder.checkpoint);
  const now = contextOf(inputs);
  if (then.configHash !== now.configHash) return otherExperiment(folder, inputs);
  if (then.backboneSha256 !== now.backboneSha256)
    return `it is of backbone ${then.backboneSha256}, this one is ${now.backboneSha256}`;
  if (then.trainImagesHash !== now.trainImagesHash)
    return 'the training images (names, labels or pixels) are others now';
  if (then.engine !== now.engine)
    return `it was trained with engine ${then.engine}, this is ${now.engine}: --engine ${then.engine} continues it`;
  return null;
}

/** Names the keys that differ from the folder's own config.yaml, where that can be read. */
function otherExperiment(folder: RunFolder, { experiment }: RunInputs): string {
  const what = 'it belongs to another experiment';
  try {
    const keys = differingKeys(loadExperiment({ config: folder.config }), experiment);
    return keys.length > 0 ? `${what} (${keys.join('; ')})` : what;
  } catch (error) {
    if (error instanceof UserError) return what;
    throw error;
  }
}

/** What a checkpoint of these inputs is kept with. */
export function contextOf(inputs: RunInputs): Omit<CheckpointContext, 'metricsBytes' | 'trainingSeconds'> {
  const { configHash, backbone, engine, loaders } = inputs;
  const trainImagesHash = loaders.train.imagesHash;
  return { engine: engine.name, configHash, backboneSha256: backbone.sha256, trainImagesHash };
}
