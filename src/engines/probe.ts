import { foldBackbone } from '../adaption/fold.js';
import type { Batch } from '../data/batch.js';
import type { CalibrationSource } from '../model/probe.js';
import type { ImageForm } from '../model/storeMetadata.js';
import type { Engine } from './engine.js';

/**
 * Calibration images run by an engine.
 * @param batches the same batches at every call
 */
export function calibrationSource(
  engine: Engine,
  batches: () => AsyncIterable<Batch>,
  options: {
    readonly batchSize: number;
    readonly imageSize: number;
    readonly description: string;
    readonly imageIds?: readonly string[];
    readonly form?: ImageForm;
  },
): CalibrationSource {
  const { batchSize, imageSize, description, imageIds, form } = options;
  return {
    description,
    imageIds,
    form,
    batches,
    openProbe: (backbone, taps) =>
      engine.openInference({ network: foldBackbone(backbone), batchSize, imageSize, taps }),
  };
}
