/** @file The gradient of max pooling against a plain loop, with ties, on maps and windows of any size. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import ort from 'onnxruntime-node';
import { windowAttributes } from '../../../src/engines/onnx/common.js';
import { GraphBuilder } from '../../../src/engines/onnx/graphBuilder.js';
import { type PoolSite, PoolWinners } from '../../../src/engines/onnx/maxPool.js';
import { createSession } from '../../../src/engines/onnx/session.js';
import { outputSize } from '../../../src/model/graph.js';
import { hash32 } from '../../../src/random.js';

const BATCH = 2;
const CHANNELS = 3;
type Window = PoolSite['window'];

/** Whole numbers, so that sums of gradients are exact; few different values, so that most windows have ties. */
const input = (length: number) => Float32Array.from({ length }, (_, i) => [-2, -0, 0, 1, 3][hash32(i) % 5]);
const outputGradient = (length: number) => Float32Array.from({ length }, (_, i) => (hash32(i) % 9) - 4);

async function compute(window: Window, size: number, threads: number): Promise<Float32Array> {
  const builder = new GraphBuilder();
  const pooled = outputSize(size, window);
  const shape = (side: number) => ({ channels: CHANNELS, height: side, width: side });
  const site = { window, builder, batchSize: BATCH, input: shape(size), output: shape(pooled) };
  const dims = (side: number) => [BATCH, CHANNELS, side, side];
  const feeds = {
    x: new ort.Tensor('float32', input(BATCH * CHANNELS * size ** 2), dims(size)),
    dy: new ort.Tensor('float32', outputGradient(BATCH * CHANNELS * pooled ** 2), dims(pooled)),
  };
  for (const [name, tensor] of Object.entries(feeds)) builder.input(name, 'float32', tensor.dims);
  const output = builder.op('MaxPool', ['x'], windowAttributes(window));
  builder.output('dx', 'float32', dims(size), new PoolWinners(site, 'x', output).gradient('dy'));
  const session = await createSession(builder.encode(), { threads });
  const { dx } = await session.run(feeds);
  await session.release();
  return dx.data as Float32Array;
}

/** To the first largest pixel of each window in row-major order. */
function expected({ kernel, stride, padding }: Window, size: number): Float32Array {
  const pooled = outputSize(size, { kernel, stride, padding });
  const x = input(BATCH * CHANNELS * size ** 2);
  const dy = outputGradient(BATCH * CHANNELS * pooled ** 2);
  const dx = new Float32Array(x.length);
  dy.forEach((gradient, window) => {
    const map = Math.floor(window / pooled ** 2) * size ** 2;
    const top = (Math.floor(window / pooled) % pooled) * stride - padding;
    const left = (window % pooled) * stride - padding;
    let first = -1;
    for (let row = Math.max(top, 0); row < Math.min(top + kernel, size); row++) {
      for (let column = Math.max(left, 0); column < Math.min(left + kernel, size); column++) {
        const pixel = map + row * size + column;
        if (first < 0 || x[pixel] > x[first]) first = pixel;
      }
    }
    dx[first] += gradient;
  });
  return dx;
}

describe('gradient of max pooling', () => {
  const windows: [kernel: number, stride: number, padding: number][] = [
    [3, 2, 1],
    [3, 2, 0],
    [2, 2, 0],
    [3, 1, 1],
    [5, 3, 2],
    [2, 3, 0],
  ];
  for (const [kernel, stride, padding] of windows) {
    test(`${kernel}×${kernel}, stride ${stride}, padding ${padding}: the loop's values`, async () => {
      const window = { kernel, stride, padding };
      for (const size of [5, 6, 7, 8, 16]) {
        const actual = await compute(window, size, 1);
        // Zeros may differ in sign.
        assert.deepEqual(
          actual.map((value) => value + 0),
          expected(window, size).map((value) => value + 0),
          `${size} pixels`,
        );
      }
    });
  }

  test('the number of threads changes no bit', async () => {
    const window = { kernel: 3, stride: 2, padding: 1 };
    assert.deepEqual(await compute(window, 64, 2), await compute(window, 64, 1));
  });
});
