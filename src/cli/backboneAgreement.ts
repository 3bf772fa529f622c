/** @file How far a quantised backbone sees what its float one saw. */
import { foldBackbone } from '../adaption/fold.js';
import type { BatchLoader, Sample } from '../data/types.js';
import type { Engine } from '../engines/engine.js';
import { argmax } from '../model/argmax.js';
import type { Backbone } from '../model/backbone.js';
import { imagesIn } from '../model/probe.js';
import type { QuantizeArguments } from './backbone.js';
import { drawImages, imageSizeOf, openImages } from './backboneCalibration.js';
import type { Io } from './io.js';
import { withProgress } from './progress.js';

/** How often two networks see the same class. */
export interface Agreement {
  readonly agreeing: number;
  readonly images: number;
}

const COMPARED = 128;

/** Compares a quantised backbone with its float one, top-1, on up to 128 of the samples. */
export async function compareWithFloat(
  float: Backbone,
  quantized: Backbone,
  samples: readonly Sample[],
  engine: Engine,
  args: QuantizeArguments,
  io: Io,
): Promise<Agreement> {
  const { drawn } = drawImages(samples, COMPARED, args.seed, 'measured images');
  const loader = await openImages(drawn, float.graph.network, args, io);
  try {
    const options = { label: 'comparing with full precision', unit: 'images', total: 2 * drawn.length };
    return await withProgress(io, options, async (progress) => {
      const before = await topClasses(float, loader, engine, args, io);
      progress.update(drawn.length);
      const after = await topClasses(quantized, loader, engine, args, io);
      return { agreeing: after.filter((top, i) => top === before[i]).length, images: drawn.length };
    });
  } finally {
    await loader.close();
  }
}

/** The class with the largest logit, per image. */
async function topClasses(
  backbone: Backbone,
  loader: BatchLoader,
  engine: Engine,
  args: QuantizeArguments,
  io: Io,
): Promise<number[]> {
  const { graph, head } = backbone;
  const classes = head.bias.length;
  const { batchSize } = args;
  const imageSize = imageSizeOf(graph.network, args);
  const session = await engine.openInference({ network: foldBackbone(backbone), batchSize, imageSize });
  const found: number[] = [];
  try {
    for await (const batch of loader.epoch(0)) {
      io.signal?.throwIfAborted();
      const { logits } = await session.predict(batch);
      for (let i = 0; i < imagesIn(batch); i++)
        found.push(argmax(logits.subarray(i * classes, (i + 1) * classes)));
    }
  } finally {
    await session.close();
  }
  return found;
}
