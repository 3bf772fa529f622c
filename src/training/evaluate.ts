/** @file Accuracy of a folded network on labelled images. */
import type { FoldedNetwork } from '../adaption/fold.js';
import type { BatchLoader } from '../data/types.js';
import type { Engine } from '../engines/engine.js';
import { argmax } from '../model/argmax.js';
import { headOf } from '../model/graph.js';
import { guardError } from './guards.js';

export interface Evaluation {
  readonly images: number;
  readonly correct: number;
  /** Top-1, per cent. */
  readonly accuracy: number;
  /** Mean cross-entropy, nats. */
  readonly loss: number;
  /** Counts [true class, predicted class]. */
  readonly confusion: Uint32Array;
  readonly classes: number;
}

export interface EvaluationOptions {
  readonly engine: Engine;
  readonly network: FoldedNetwork;
  readonly loader: BatchLoader;
  readonly batchSize: number;
  readonly imageSize: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (images: number, total: number) => void;
}

/** Measures a network on every sample of a loader; ties go to the smaller class index. */
export async function evaluate(options: EvaluationOptions): Promise<Evaluation> {
  const { engine, network, loader, batchSize, imageSize, signal } = options;
  const classes = headOf(network.graph).outFeatures;
  const confusion = new Uint32Array(classes * classes);
  let images = 0;
  let correct = 0;
  let lossSum = 0;
  const session = await engine.openInference({ network, batchSize, imageSize });
  try {
    for await (const batch of loader.epoch(0)) {
      signal?.throwIfAborted();
      const { logits } = await session.predict(batch);
      batch.labels.forEach((label, i) => {
        if (label < 0) return;
        const row = logits.subarray(i * classes, (i + 1) * classes);
        const predicted = argmax(row);
        confusion[label * classes + predicted]++;
        correct += Number(predicted === label);
        lossSum += crossEntropy(row, label);
        images++;
      });
      options.onProgress?.(images, loader.samples.length);
    }
  } finally {
    await session.close();
  }
  if (!Number.isFinite(lossSum)) {
    throw guardError(
      'the network computes values that are not finite',
      'Train again with a lower learning rate.',
    );
  }
  return {
    images,
    correct,
    accuracy: images === 0 ? 0 : (100 * correct) / images,
    loss: images === 0 ? 0 : lossSum / images,
    confusion,
    classes,
  };
}

/** Accuracy of every class, per cent; null for classes without an image. */
export function perClassAccuracy(evaluation: Pick<Evaluation, 'confusion' | 'classes'>): (number | null)[] {
  const { confusion, classes } = evaluation;
  return Array.from({ length: classes }, (_, label) => {
    const row = confusion.subarray(label * classes, (label + 1) * classes);
    const total = row.reduce((sum, count) => sum + count, 0);
    return total === 0 ? null : (100 * row[label]) / total;
  });
}

/** −log softmax(logits)[label], nats. */
export function crossEntropy(logits: Float32Array, label: number): number {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return Math.log(sum) + largest - logits[label];
}
