/** @file Inference of a quantised network in integers: what a session without taps runs. */
import type { FoldedNetwork } from '../../../adaption/fold.js';
import { layerShapes } from '../../../model/graph.js';
import type { InferencePlan } from '../../engine.js';
import { GraphBuilder } from '../graphBuilder.js';
import { FROZEN_OPSET } from './opset.js';
import type { Requantizations } from './quantizedConv.js';
import { emitQuantizedGraph } from './quantizedGraph.js';
import { SingleTask } from './singleTask.js';

/** Whether weights and activations have levels that fit int8 and uint8. */
export function hasIntegerForm({ convs, activationBits }: FoldedNetwork): boolean {
  return (
    activationBits <= 8 && Object.values(convs).every((conv) => conv.kind === 'levels' && conv.bits <= 8)
  );
}

/** ONNX bytes of a model `pixels` (any number of images) → `logits`. */
export function buildIntegerModel({ network, imageSize }: Pick<InferencePlan, 'network' | 'imageSize'>): {
  bytes: Uint8Array;
  requantizations: Requantizations;
} {
  const builder = new GraphBuilder({ opset: FROZEN_OPSET });
  const weights = new SingleTask(builder, network);
  const requantizations = emitQuantizedGraph({ builder, networks: [network], weights, imageSize });
  return { bytes: builder.encode(), requantizations };
}

/** Bytes of the largest float32 tensor in a run: a few of them fit the caches of current CPUs. */
const LARGEST_TENSOR = 13 * 2 ** 20;

/** Images that are best run at once: residual sums are float32 and element-wise, so they should stay in the cache. */
export function imagesPerRun({
  network,
  batchSize,
  imageSize,
}: Pick<InferencePlan, 'network' | 'batchSize' | 'imageSize'>): number {
  const shapes = [...layerShapes(network.graph, imageSize).values()];
  const largest = Math.max(...shapes.map(({ channels, height, width }) => 4 * channels * height * width));
  const fitting = Math.max(1, Math.floor(LARGEST_TENSOR / largest));
  return Math.ceil(batchSize / Math.ceil(batchSize / fitting));
}
