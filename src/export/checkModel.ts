/** @file Loads an exported model back in plain ONNX Runtime and compares it with an engine. */
import type { Tensor } from 'onnxruntime-node';
import { foldIntoBackbone } from '../adaption/task.js';
import type { Batch } from '../data/batch.js';
import type { Engine } from '../engines/engine.js';
import { argmax } from '../model/argmax.js';
import { headOf } from '../model/graph.js';
import { uniform } from '../random.js';
import type { ExportRequest } from './exportModel.js';

export interface Comparison {
  readonly images: number;
  /** Largest difference of two logits over the engine's largest logit, per cent. */
  readonly largestDifference: number;
  /** The same of the median image: single values close to a step move an image's logits. */
  readonly medianDifference: number;
  /** Images whose largest logit is another one. */
  readonly otherClass: number;
}

/** Logits of an ONNX model, in ONNX Runtime with its default options. */
export async function modelLogits(
  bytes: Uint8Array,
  { pixels, labels }: Batch,
  imageSize: number,
  task?: number,
): Promise<Float32Array> {
  const { default: ort } = await import('onnxruntime-node');
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
  try {
    const feeds: Record<string, Tensor> = {
      pixels: new ort.Tensor('uint8', pixels, [labels.length, imageSize, imageSize, 3]),
    };
    if (task !== undefined) feeds.task = new ort.Tensor('int64', BigInt64Array.of(BigInt(task)), []);
    const { logits } = await session.run(feeds);
    return logits.data as Float32Array;
  } finally {
    await session.release();
  }
}

/** Compares every task of a model with the engine's float32 graph on smooth random images. */
export async function checkModel(
  bytes: Uint8Array,
  { backbone, tasks }: ExportRequest,
  engine: Engine,
  images = 4,
): Promise<Comparison[]> {
  const { imageSize } = tasks[0].task;
  const batch = randomImages(images, imageSize);
  const comparisons: Comparison[] = [];
  for (const [index, { task }] of tasks.entries()) {
    const network = foldIntoBackbone(task, backbone);
    // Asked for a tap, engines compute real values: the same integers as the model's would check nothing.
    const taps = [headOf(network.graph).name];
    const session = await engine.openInference({ network, batchSize: images, imageSize, taps });
    const expected = await session.predict(batch).finally(() => session.close());
    const logits = await modelLogits(bytes, batch, imageSize, tasks.length > 1 ? index : undefined);
    comparisons.push(compareLogits(logits, expected.logits, images));
  }
  return comparisons;
}

/** @param expected [images, classes] */
export function compareLogits(actual: Float32Array, expected: Float32Array, images: number): Comparison {
  const classes = expected.length / images;
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} logits, expected ${expected.length}`);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  const differences: number[] = [];
  let otherClass = 0;
  for (let image = 0; image < images; image++) {
    const row = actual.subarray(image * classes, (image + 1) * classes);
    const expectedRow = expected.subarray(image * classes, (image + 1) * classes);
    otherClass += Number(argmax(row) !== argmax(expectedRow));
    const off = Math.max(...row.map((value, i) => Math.abs(value - expectedRow[i])));
    differences.push(Number.isFinite(off) ? (100 * off) / largest : Number.POSITIVE_INFINITY);
  }
  differences.sort((a, b) => a - b);
  const medianDifference = differences[Math.floor(images / 2)];
  return { images, largestDifference: differences[images - 1], medianDifference, otherClass };
}

/** Waves of a few periods in each channel. */
function randomImages(count: number, size: number): Batch {
  const pixels = new Uint8Array(count * size * size * 3);
  for (let i = 0; i < pixels.length; i++) {
    const [channel, x, y] = [i % 3, Math.floor(i / 3) % size, Math.floor(i / (3 * size)) % size];
    const image = Math.floor(i / (3 * size * size));
    const wave = (axis: number, at: number) =>
      Math.sin(
        (2 * Math.PI * at * (1 + 5 * uniform(image, channel, axis))) / size +
          6 * uniform(image, channel, axis, 1),
      );
    pixels[i] = Math.round(128 + 60 * (wave(0, x) + wave(1, y)));
  }
  return { pixels, labels: new Int32Array(count) };
}
