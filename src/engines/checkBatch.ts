import type { Batch } from '../data/batch.js';
import { UserError } from '../errors.js';
import { headOf, layerShapes, layersOfKind } from '../model/graph.js';
import type { TrainingPlan } from './engine.js';

/** @throws Error when the pixels do not fill the planned batch */
export function checkPixels(
  { pixels, labels }: Batch,
  { batchSize, imageSize }: { batchSize: number; imageSize: number },
): void {
  const expected = batchSize * imageSize * imageSize * 3;
  if (pixels.length !== expected || labels.length !== batchSize) {
    throw new Error(
      `batch of ${labels.length} labels and ${pixels.length} pixel values, expected ${batchSize} and ${expected}`,
    );
  }
}

/** @throws Error when the batch does not fit the plan or has a label that is no class */
export function checkTrainingBatch(batch: Batch, plan: TrainingPlan): void {
  checkPixels(batch, plan);
  const classes = headOf(plan.graph).outFeatures;
  const bad = batch.labels.find((label) => label < 0 || label >= classes);
  if (bad !== undefined) throw new Error(`training batch with label ${bad}, expected 0 … ${classes - 1}`);
}

/**
 * Batch statistics need two values per channel: the unbiased variance of one is 0/0.
 * @throws UserError naming the layer
 */
export function checkBatchStatistics({ graph, method, batchSize, imageSize }: TrainingPlan): void {
  if (!method.trainBatchNorm) return;
  const shapes = layerShapes(graph, imageSize);
  for (const { name } of layersOfKind(graph, 'batchNorm')) {
    const { height, width } = shapes.get(name)!;
    if (batchSize * height * width > 1) continue;
    throw new UserError(
      `batch size 1 at ${imageSize} pixels leaves batch norm ${name} one value per channel`,
      'Use a larger training.batchSize or training.imageSize, or set method.trainBatchNorm to false.',
    );
  }
}
