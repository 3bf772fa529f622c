/** @file Calibration images from an experiment's own training split. */
import type { Experiment } from '../config/schema.js';
import type { DataSet } from '../data/types.js';
import type { Engine } from '../engines/engine.js';
import { calibrationSource } from '../engines/probe.js';
import { imageId } from '../model/hash.js';
import type { CalibrationRequest } from '../model/resolve.js';
import { permutation } from '../random.js';
import { type DecodeOptions, hashSplit, imageForm, openSplit } from './openExperiment.js';

/** As `xbm backbone import` takes by default: batch norm is fitted layer by layer, so time grows with layers × images. */
export const CALIBRATION_IMAGES = 128;

/**
 * Up to `count` images of the official train split, so that all seeds share one backbone, in their deterministic form,
 * for clips and batch norm of a quantised backbone.
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
  const { officialTrain } = dataSet;
  const order = permutation(officialTrain.length, 0).subarray(0, count);
  const samples = Array.from(order, (index) => officialTrain[index]);
  const description = `${samples.length} training images of ${experiment.name ?? experiment.task} at ${imageSize} pixels, in batches of ${batchSize}`;
  return {
    async key() {
      const images = await hashSplit(experiment, dataSet, 'train', options, samples);
      // Clips are means over batches, so their size decides too.
      return JSON.stringify({ images, imageSize, batchSize, engine: engine.inference });
    },
    async open() {
      const loader = await openSplit(experiment, dataSet, 'train', options, samples, 'evaluate');
      const imageIds = await Promise.all(samples.map(({ path }) => imageId(path)));
      const settings = { batchSize, imageSize, description, imageIds, form: imageForm(experiment) };
      const source = calibrationSource(engine, () => loader.epoch(0), settings);
      return { ...source, close: () => loader.close() };
    },
  };
}
