import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { Resampler, rowsOfCrop } from '../../src/data/resample.js';
import type { Box } from '../../src/data/types.js';
import { hash32 } from '../../src/random.js';

const [WIDTH, HEIGHT] = [61, 47];
const noise = new Uint8Array(WIDTH * HEIGHT * 3).map((_, i) => hash32(1, i) & 255);

function resize(
  source: Uint8Array,
  width: number,
  height: number,
  crop: Box,
  size: number,
  flip = false,
): Uint8Array {
  const target = new Uint8Array(size * size * 3);
  const { firstRow, rows } = rowsOfCrop(crop, height);
  const read = source.subarray(firstRow * width * 3, (firstRow + rows) * width * 3);
  new Resampler().cropResize(read, { width, height, firstRow }, crop, target, 0, size, flip);
  return target;
}

const whole = (width: number, height: number): Box => ({ x: 0, y: 0, width, height });

describe('Resampler', () => {
  // SHA-256 (first 16 digits) of `Image.crop((x, y, x + w, y + h)).resize((s, s), BILINEAR).tobytes()`, Pillow 11.0.0.
  const pillow: [x: number, y: number, width: number, height: number, size: number, sha256: string][] = [
    [0, 0, 61, 47, 16, '0602ca4f57f49ee5'],
    [5, 3, 40, 30, 32, '5f481aefac940a8a'],
    [10, 7, 16, 16, 16, '742eccece0c30da8'],
    [2, 2, 50, 44, 31, '25a3ff0f738bbff0'],
    [0, 0, 61, 47, 8, '392b5a53464fb50c'],
    [7, 9, 11, 13, 40, '6c0f3280bccab0df'],
    [30, 20, 31, 27, 24, '6f65144c87cc55df'],
    [60, 46, 1, 1, 4, '9cad12c4c5f79f33'],
    [0, 10, 60, 3, 20, 'd31d5c7aa9029fed'],
  ];
  for (const [x, y, width, height, size, sha256] of pillow) {
    test(`equals Pillow: ${width}×${height} at (${x}, ${y}) to ${size}×${size}`, () => {
      const resized = resize(noise, WIDTH, HEIGHT, { x, y, width, height }, size);
      assert.equal(createHash('sha256').update(resized).digest('hex').slice(0, 16), sha256);
    });
  }

  test('flipping mirrors the result', () => {
    for (const size of [9, 16, 61]) {
      const [plain, flipped] = [false, true].map((flip) =>
        resize(noise, WIDTH, HEIGHT, whole(WIDTH, HEIGHT), size, flip),
      );
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
          const at = (y * size + x) * 3;
          const mirrored = (y * size + size - 1 - x) * 3;
          assert.deepEqual(plain.subarray(at, at + 3), flipped.subarray(mirrored, mirrored + 3));
        }
      }
    }
  });

  test('the same size copies; a flat image stays flat at every scale', () => {
    const square = noise.subarray(0, 30 * 30 * 3);
    assert.deepEqual(resize(square, 30, 30, whole(30, 30), 30), square);
    for (const value of [0, 1, 254, 255]) {
      const flat = new Uint8Array(30 * 20 * 3).fill(value);
      for (const size of [1, 7, 20, 33, 64]) {
        const crop = { x: 1.3, y: 0.2, width: 25.5, height: 18.1 };
        assert.ok(
          resize(flat, 30, 20, crop, size).every((byte) => byte === value),
          `${value} at ${size}`,
        );
      }
    }
  });

  test('a crop of fractions of pixels interpolates between its whole neighbours', () => {
    const ramp = new Uint8Array(40 * 8 * 3).map((_, i) => (Math.floor(i / 3) % 40) * 6);
    const resized = resize(ramp, 40, 8, { x: 10.5, y: 0, width: 8, height: 8 }, 8);
    // Pixel i has its centre at 10.5 + i + 0.5, so half way between pixels 10 + i and 11 + i; the border clamps to whole pixels.
    const expected = Array.from({ length: 8 }, (_, i) => (10 + i) * 6 + 3);
    assert.deepEqual(
      [...resized.subarray(0, 24)].filter((_, i) => i % 3 === 0),
      expected,
    );
  });
});
