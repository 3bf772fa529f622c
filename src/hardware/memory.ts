/** @file What one task adds to the memory that the frozen backbone needs. */
import type { MethodName } from '../adaption/method.js';
import { type CrossbarNetwork, layerWeights, mappedLayers } from './network.js';

/** Bytes, each row rounded up to whole bytes. */
export interface TaskMemory {
  /** Mask bits, packed. */
  readonly masks: number;
  /** Weights of the task's own: fine-tuning only. */
  readonly weights: number;
  /** Folded batch norm: scale and shift per channel, float32; 0 where it stays the backbone's. */
  readonly batchNorm: number;
  /** Weight and bias of the head, float32. */
  readonly head: number;
  readonly total: number;
}

/** @param task `maskBits`: 0 without masks; `trainsBatchNorm`: batch norm is the task's own */
export function taskMemory(
  network: CrossbarNetwork,
  task: {
    readonly method: MethodName;
    readonly maskBits: number;
    readonly classes: number;
    readonly trainsBatchNorm: boolean;
  },
  weightBits: number,
): TaskMemory {
  const backboneWeights = mappedLayers(network, 'digital').reduce(
    (sum, layer) => sum + layerWeights(layer),
    0,
  );
  const masks = Math.ceil(task.maskBits / 8);
  const weights = task.method === 'finetune' ? Math.ceil((backboneWeights * weightBits) / 8) : 0;
  const batchNorm = task.trainsBatchNorm ? network.batchNormChannels * 2 * 4 : 0;
  const head = network.headFeatures === null ? 0 : (network.headFeatures + 1) * task.classes * 4;
  return { masks, weights, batchNorm, head, total: masks + weights + batchNorm + head };
}
