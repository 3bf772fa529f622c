/** @file How long a run will take, from the speed of earlier runs on this machine. */
import { existsSync } from 'node:fs';
import type { Experiment } from '../config/schema.js';
import { UserError } from '../errors.js';
import { finishedRuns } from '../runs/runFolder.js';

/** Measured speed of an earlier run. */
export interface Speed {
  readonly network: string;
  readonly imageSize: number;
  readonly method: string;
  readonly trainingImagesPerSecond: number;
  readonly testImagesPerSecond: number;
}

export interface Sizes {
  readonly train: number;
  readonly test: number;
}

/** Speeds of all finished runs below folders of runs; damaged ones say nothing. */
export function measuredSpeeds(folders: readonly string[]): Speed[] {
  const runs = folders.flatMap((folder) => finishedRuns(folder, () => {}));
  return runs.flatMap((folder): Speed[] => {
    if (!existsSync(folder.timings)) return [];
    try {
      const { network, imageSize, method, testImages } = folder.readSummary();
      const { trainingImagesPerSecond, evaluationSeconds } = folder.readTimings();
      const testImagesPerSecond = testImages / evaluationSeconds;
      const usable = trainingImagesPerSecond > 0 && Number.isFinite(testImagesPerSecond);
      return usable ? [{ network, imageSize, method, trainingImagesPerSecond, testImagesPerSecond }] : [];
    } catch (error) {
      if (error instanceof UserError) return [];
      throw error;
    }
  });
}

/**
 * Seconds that a run still needs: the median speed of earlier runs of its network, image size and method, else of
 * its network and image size; null when there is none, or the data set's size is unknown.
 * @param stepsDone training steps that its checkpoint holds
 */
export function estimateSeconds(
  { backbone, training, method }: Experiment,
  sizes: Sizes | null,
  stepsDone: number,
  speeds: readonly Speed[],
): number | null {
  const alike = speeds.filter(
    ({ network, imageSize }) => network === backbone.network && imageSize === training.imageSize,
  );
  if (sizes === null || alike.length === 0) return null;
  const same = alike.filter((speed) => speed.method === method.name);
  const measured = same.length > 0 ? same : alike;
  const batches = Math.floor(sizes.train / training.batchSize);
  const images = Math.max(0, training.epochs * batches - stepsDone) * training.batchSize;
  return (
    images / median(measured.map((speed) => speed.trainingImagesPerSecond)) +
    sizes.test / median(measured.map((speed) => speed.testImagesPerSecond))
  );
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
