/** @file The transforms' matrices in float64 against the convolution of a patch, written out. */
import { test } from 'node:test';
import { type Matrix, tileSizes, winogradTransforms } from '../../../src/engines/onnx/winogradTransforms.js';
import { assertClose } from '../assertClose.js';
import { gaussians } from '../fixtures.js';

const times = (matrix: Matrix, vector: ArrayLike<number>): number[] =>
  matrix.map((row) => row.reduce((sum, value, i) => sum + value * vector[i], 0));

/** The valid convolution of a square patch, tile + 2 pixels wide, with 3×3 taps. */
function convolved(patch: ArrayLike<number>, taps: readonly number[], tile: number): number[] {
  const result: number[] = [];
  for (let row = 0; row < tile; row++) {
    for (let column = 0; column < tile; column++) {
      const at = (tap: number) => (row + Math.floor(tap / 3)) * (tile + 2) + column + (tap % 3);
      result.push(taps.reduce((sum, value, tap) => sum + value * patch[at(tap)], 0));
    }
  }
  return result;
}

for (const tile of tileSizes) {
  const filter = [...gaussians(9, 0, 1, 'filter', 1)];
  const patch = [...gaussians((tile + 2) ** 2, 0, 1, 'patch', 1)];
  const values = times(winogradTransforms(tile, false).weight, filter);

  test(`F(${tile}×${tile}, 3×3): a tile of the convolution`, () => {
    const { input, output } = winogradTransforms(tile, false);
    const products = times(input, patch).map((value, i) => value * values[i]);
    assertClose(times(output, products), convolved(patch, filter, tile), 1e-14, 'tile');
  });

  test(`F(${tile}×${tile}, 3×3): the same transformed filter gives the convolution with the flipped one`, () => {
    const { input, output } = winogradTransforms(tile, true);
    const products = times(input, patch).map((value, i) => value * values[i]);
    assertClose(times(output, products), convolved(patch, filter.toReversed(), tile), 1e-14, 'tile');
  });

  test(`F(${tile}×${tile}, 3×3): the filter's gradient`, () => {
    const { input, weight, outputGradient } = winogradTransforms(tile, false);
    const gradient = [...gaussians(tile * tile, 0, 1, 'gradient', 1)];
    const side = tile + 2;
    const framed = Array.from({ length: side * side }, (_, i) => {
      const [row, column] = [Math.floor(i / side) - 1, (i % side) - 1];
      const inside = row >= 0 && column >= 0 && row < tile && column < tile;
      return inside ? gradient[row * tile + column] : 0;
    });
    const gradients = times(outputGradient, framed);
    const products = times(input, patch).map((value, i) => value * gradients[i]);
    const actual = filter.map((_, tap) =>
      products.reduce((sum, value, i) => sum + value * weight[i][tap], 0),
    );
    // dL/dfilter[tap] is the gradient times the derivative of the tile by that tap.
    const expected = filter.map((_, tap) => {
      const only = filter.map((_, other) => (other === tap ? 1 : 0));
      return convolved(patch, only, tile).reduce((sum, value, i) => sum + value * gradient[i], 0);
    });
    assertClose(actual, expected, 1e-14, 'gradient');
  });
}
