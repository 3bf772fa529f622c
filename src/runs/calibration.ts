/** @file Calibration images from an experiment's own training split. */
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Experiment } from '../config/schema.js';
import type { DataSet, Sample } from '../data/types.js';
import type { Engine } from '../engines/engine.js';
import { calibrationSource } from '../engines/probe.js';
import { imageId } from '../model/hash.js';
import type { CalibrationRequest } from '../model/resolve.js';
import { permutation } from '../random.js';
import { type DecodeOptions, openSplit } from './openExperiment.js';

/** As `xbm backbone import` takes by default: batch norm is fitted layer by layer, so time grows with layers × images. */
export const CALIBRATION_IMAGES = 128;

/** Names what a set of images holds, wherever it lies: file names and labels, in order. */
export function samplesHash(samples: readonly Sample[]): string {
  const names = samples.map(({ path, label }) => `${basename(path)}\0${label}`);
  return createHash('sha256').update(names.join('\n')).digest('hex');
}

/**
 * Up to `count` training images, in their deterministic form, for clips and batch norm of a quantised backbone.
 * @param engine opened when the images are needed
 */
export function trainingCalibration(
  experiment: Experiment,
  dataSet: DataSet,
  engine: Engine,
  options: DecodeOptions,
  count = CALIBRATION_IMAGES,
): CalibrationRequest {
  const { imageSize, batchSize } = experiment.training;
  const order = permutation(dataSet.train.length, 0).subarray(0, count);
  const samples = Array.from(order, (index) => dataSet.train[index]);
  const description = `${samples.length} training images of ${experiment.name ?? experiment.task} at ${imageSize} pixels`;
  return {
    key: JSON.stringify({ samples: samplesHash(samples), imageSize, engine: engine.name }),
    async open() {
      const loader = await openSplit(experiment, dataSet, 'train', options, samples, 'evaluate');
      const imageIds = await Promise.all(samples.map(({ path }) => imageId(path)));
      const settings = { batchSize, imageSize, description, imageIds };
      const source = calibrationSource(engine, () => loader.epoch(0), settings);
      return { ...source, close: () => loader.close() };
    },
  };
}
