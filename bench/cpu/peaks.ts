/** @file What the machine can do at best in ONNX Runtime: a large matrix product, and one pass over a large tensor. */
import ort from 'onnxruntime-node';
import { GraphBuilder } from '../../src/engines/onnx/graphBuilder.js';
import { createSession } from '../../src/engines/onnx/session.js';

export interface Peaks {
  /** f32 matrix product of 2048³. */
  readonly gigaflops: number;
  /** Bytes read and written by adding two tensors of 64 MB, 10⁹ per second. */
  readonly gigabytes: number;
}

const SIDE = 2048;
const LENGTH = 1 << 24;
const REPEATS = 20;

/** Bests of a few repetitions. */
export async function measurePeaks(threads: number): Promise<Peaks> {
  const matrix = await fastest('MatMul', [SIDE, SIDE], threads);
  const pass = await fastest('Add', [LENGTH], threads);
  return { gigaflops: (2 * SIDE ** 3) / matrix / 1e9, gigabytes: (3 * 4 * LENGTH) / pass / 1e9 };
}

/** Seconds of a binary operator on two tensors of one shape. */
async function fastest(operator: 'MatMul' | 'Add', dims: number[], threads: number): Promise<number> {
  const builder = new GraphBuilder();
  const inputs = ['a', 'b'].map((name) => builder.input(name, 'float32', dims));
  // Its one result is a scalar: nothing large is handed to JavaScript.
  const result = builder.op(operator, inputs);
  const corner = dims.map(() => 0);
  builder.output(
    'corner',
    'float32',
    [],
    builder.op(
      'ReduceMax',
      [builder.op('Slice', [result, builder.ints(...corner), builder.ints(...dims.map(() => 1))])],
      { keepdims: 0 },
    ),
  );
  const session = await createSession(builder.encode(), { threads });
  const size = dims.reduce((a, b) => a * b, 1);
  const feeds = {
    a: new ort.Tensor('float32', new Float32Array(size).fill(1), dims),
    b: new ort.Tensor('float32', new Float32Array(size).fill(0.5), dims),
  };
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < REPEATS; i++) {
    const started = performance.now();
    await session.run(feeds);
    best = Math.min(best, (performance.now() - started) / 1000);
  }
  await session.release();
  return best;
}
