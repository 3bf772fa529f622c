import ort from 'onnxruntime-node';
import type { Batch } from '../../src/data/batch.js';

/** Logits of an exported model in plain ONNX Runtime, with its default options. */
export async function runModel(
  bytes: Uint8Array,
  { pixels, labels }: Batch,
  imageSize: number,
  task?: number,
): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: 1 });
  try {
    const feeds: Record<string, ort.Tensor> = {
      pixels: new ort.Tensor('uint8', pixels, [labels.length, imageSize, imageSize, 3]),
    };
    if (task !== undefined) feeds.task = new ort.Tensor('int64', BigInt64Array.of(BigInt(task)), []);
    return (await session.run(feeds)).logits.data as Float32Array;
  } finally {
    await session.release();
  }
}
