/** @file Winograd's filtering against the same convolution by columns, forward and both gradients, on maps of any size. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import ort from 'onnxruntime-node';
import { Layouts } from '../../../src/engines/onnx/activations.js';
import {
  convolve,
  convSite,
  gradientPatches,
  inputColumns,
  inputGradient,
  weightGradient,
} from '../../../src/engines/onnx/convolution.js';
import { GraphBuilder } from '../../../src/engines/onnx/graphBuilder.js';
import { createSession } from '../../../src/engines/onnx/session.js';
import { isWinograd, tiling } from '../../../src/engines/onnx/winograd.js';
import { tileSizes } from '../../../src/engines/onnx/winogradTransforms.js';
import type { ConvLayer, LayerGraph } from '../../../src/model/graph.js';
import { assertClose } from '../assertClose.js';
import { gaussians } from '../fixtures.js';

const BATCH = 3;
const [IN, OUT] = [5, 7];
const conv: ConvLayer = {
  kind: 'conv',
  name: 'conv',
  inputs: ['input'],
  inChannels: IN,
  outChannels: OUT,
  kernel: 3,
  stride: 1,
  padding: 1,
};
const graph: LayerGraph = { network: 'one convolution', inputChannels: IN, layers: [conv] };
const data = (length: number, name: string) => gaussians(length, 0.3, 1, name, 1);

/** Values of the forward pass and both gradients. */
async function compute(size: number, winogradChannels: number, threads: number): Promise<Float32Array[]> {
  const builder = new GraphBuilder();
  const layouts = new Layouts(builder, graph, BATCH, size, 1024, winogradChannels);
  const site = convSite(conv, layouts);
  const pixels = size * size * BATCH;
  assert.equal(isWinograd(site), winogradChannels <= IN);
  const feeds = {
    x: new ort.Tensor('float32', data(IN * pixels, 'x'), [1, IN, pixels]),
    w: new ort.Tensor('float32', data(OUT * IN * 9, 'w'), [OUT, IN, 3, 3]),
    dy: new ort.Tensor('float32', data(OUT * pixels, 'dy'), [1, OUT, pixels]),
  };
  for (const [name, { dims }] of Object.entries(feeds)) builder.input(name, 'float32', dims);
  const columns = inputColumns(site, 'x');
  const tiles = gradientPatches(site, 'dy');
  builder.output('y', 'float32', [1, OUT, pixels], convolve(site, 'w', 'x', columns));
  builder.output('dx', 'float32', [1, IN, pixels], inputGradient(site, 'w', 'dy', tiles));
  builder.output('dw', 'float32', [OUT, IN, 3, 3], weightGradient(site, 'x', columns, 'dy', tiles));
  const session = await createSession(builder.encode(), { threads });
  const { y, dx, dw } = await session.run(feeds);
  await session.release();
  return [y, dx, dw].map((value) => value.data as Float32Array);
}

describe('Winograd filtering', () => {
  const tolerances = { 3: 4e-6, 4: 5e-6 };
  for (const size of [3, 4, 5, 6, 7, 8, 9, 12, 14]) {
    const { tile } = tiling({ height: size, width: size });
    test(`${size}×${size} pixels in tiles of ${tile}: output and gradients of the convolution by columns`, async () => {
      const expected = await compute(size, Number.POSITIVE_INFINITY, 1);
      const actual = await compute(size, 1, 1);
      for (const [i, what] of ['y', 'dx', 'dw'].entries())
        assertClose(actual[i], expected[i], tolerances[tile], `${what} at ${size} pixels`);
    });
  }

  for (const size of [6, 14]) {
    test(`${size}×${size} pixels: the number of threads changes no bit`, async () => {
      assert.deepEqual(await compute(size, 1, 2), await compute(size, 1, 1));
    });
  }

  test('a map of any size is covered by the tiles of fewest multiplications', () => {
    const side = fc.integer({ min: 1, max: 64 });
    fc.assert(
      fc.property(side, side, (height, width) => {
        const { tile, rows, columns, products } = tiling({ height, width });
        assert.ok(rows * tile >= height && (rows - 1) * tile < height);
        assert.ok(columns * tile >= width && (columns - 1) * tile < width);
        const counts = tileSizes.map(
          (size) => Math.ceil(height / size) * Math.ceil(width / size) * (size + 2) ** 2,
        );
        assert.equal(products, Math.min(...counts));
      }),
    );
    const sizes = [3, 6, 9, 4, 7, 8, 12, 14, 16, 28, 56];
    const tiles = sizes.map((size) => tiling({ height: size, width: size }).tile);
    assert.deepEqual(tiles, [3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4]);
  });

  test('a 2×2 map, whose tile saves too little, is computed by columns', () => {
    const layouts = new Layouts(new GraphBuilder(), graph, BATCH, 2, 1024, 1);
    assert.equal(isWinograd(convSite(conv, layouts)), false);
  });
});
