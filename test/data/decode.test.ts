import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import sharp, { type Sharp } from 'sharp';
import { decodeImage } from '../../src/data/decode.js';
import { UserError } from '../../src/errors.js';
import { noisePixels, temporaryFolder } from './images.js';

const [WIDTH, HEIGHT] = [12, 8];
const keep = { kind: 'short-side', size: 100 } as const;

/** A flat image of one colour. */
function flat(
  background: string | { r: number; g: number; b: number; alpha: number },
  channels: 3 | 4 = 3,
): Sharp {
  return sharp({ create: { width: WIDTH, height: HEIGHT, channels, background } });
}

function assertFlat(pixels: Uint8Array, rgb: readonly number[], tolerance: number): void {
  for (let i = 0; i < pixels.length; i++) {
    assert.ok(
      Math.abs(pixels[i] - rgb[i % 3]) <= tolerance,
      `byte ${i} is ${pixels[i]}, expected ${rgb[i % 3]}`,
    );
  }
}

describe('decodeImage', () => {
  const formats: [name: string, extension: string, make: () => Sharp, rgb: number[], tolerance: number][] = [
    ['RGB', 'png', () => flat('#c86432'), [200, 100, 50], 0],
    ['JPEG', 'jpg', () => flat('#c86432').jpeg({ quality: 95 }), [200, 100, 50], 3],
    ['grey', 'png', () => flat('#787878').toColourspace('b-w'), [120, 120, 120], 0],
    [
      'grey with alpha',
      'png',
      () => flat({ r: 0, g: 0, b: 0, alpha: 0 }, 4).toColourspace('b-w'),
      [255, 255, 255],
      0,
    ],
    ['palette', 'png', () => flat('#c86432').png({ palette: true }), [200, 100, 50], 0],
    ['transparent', 'png', () => flat({ r: 9, g: 9, b: 9, alpha: 0 }, 4), [255, 255, 255], 0],
    ['half transparent', 'png', () => flat({ r: 0, g: 0, b: 0, alpha: 0.5 }, 4), [127, 127, 127], 1],
    ['16 bit', 'png', () => flat('#c86432').toColourspace('rgb16'), [200, 100, 50], 1],
    ['16-bit grey', 'png', () => flat('#787878').toColourspace('grey16'), [120, 120, 120], 1],
    ['CMYK', 'jpg', () => flat('#808080').toColourspace('cmyk').jpeg({ quality: 100 }), [128, 128, 128], 20],
    ['WebP', 'webp', () => flat('#c86432').webp({ lossless: true }), [200, 100, 50], 0],
    ['TIFF', 'tif', () => flat('#c86432').tiff({ compression: 'lzw' }), [200, 100, 50], 0],
    ['GIF', 'gif', () => flat('#c86432').gif(), [200, 100, 50], 6],
  ];
  for (const [name, extension, make, rgb, tolerance] of formats) {
    test(`${name} becomes 8-bit RGB`, async (t) => {
      const path = join(temporaryFolder(t), `image.${extension}`);
      await make().toFile(path);
      const image = await decodeImage(path, undefined, keep);
      assert.deepEqual([image.width, image.height, image.pixels.length], [WIDTH, HEIGHT, WIDTH * HEIGHT * 3]);
      assertFlat(image.pixels, rgb, tolerance);
    });
  }

  test('EXIF orientation turns the image before it is cropped', async (t) => {
    const path = join(temporaryFolder(t), 'turned.png');
    const pixels = noisePixels(WIDTH, HEIGHT, 1);
    const raw = { width: WIDTH, height: HEIGHT, channels: 3 } as const;
    await sharp(pixels, { raw }).withMetadata({ orientation: 6 }).toFile(path);
    const image = await decodeImage(path, undefined, keep);
    assert.deepEqual([image.width, image.height], [HEIGHT, WIDTH]);
    // A quarter turn clockwise: the first row is the first column from the bottom up.
    const lastRow = (HEIGHT - 1) * WIDTH * 3;
    assert.deepEqual(image.pixels.subarray(0, 3), pixels.subarray(lastRow, lastRow + 3));
    const corner = await decodeImage(path, { x: 0, y: 0, width: 1, height: 1 }, keep);
    assert.deepEqual(corner.pixels, image.pixels.slice(0, 3));
  });

  test('crops to the box, clamped to the image', async (t) => {
    const path = join(temporaryFolder(t), 'a.png');
    const pixels = noisePixels(WIDTH, HEIGHT, 2);
    await sharp(pixels, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } }).toFile(path);
    const image = await decodeImage(path, { x: 10, y: 7, width: 50, height: 50 }, keep);
    assert.deepEqual([image.width, image.height], [2, 1]);
    const start = (7 * WIDTH + 10) * 3;
    assert.deepEqual(image.pixels, new Uint8Array(pixels.subarray(start, start + 6)));
    const outside = { x: 30, y: 0, width: 5, height: 5 };
    await assert.rejects(decodeImage(path, outside, keep), /a\.png .*bounding box .* lies outside the image/);
  });

  test('resizes to the square or shrinks the short side, never enlarging that', async (t) => {
    const path = join(temporaryFolder(t), 'a.png');
    await sharp(noisePixels(50, 30, 3), { raw: { width: 50, height: 30, channels: 3 } }).toFile(path);
    const sizeFor = async (kind: 'square' | 'short-side', size: number) => {
      const { width, height } = await decodeImage(path, undefined, { kind, size });
      return [width, height];
    };
    assert.deepEqual(await sizeFor('square', 16), [16, 16]);
    assert.deepEqual(await sizeFor('square', 64), [64, 64]);
    assert.deepEqual(await sizeFor('short-side', 16), [26, 16]);
    assert.deepEqual(await sizeFor('short-side', 64), [50, 30]);
  });

  test('damaged, empty and absurd files are refused by name', async (t) => {
    const folder = temporaryFolder(t);
    const jpeg = await sharp(noisePixels(64, 64, 4), { raw: { width: 64, height: 64, channels: 3 } })
      .jpeg()
      .toBuffer();
    const files: Record<string, Uint8Array> = {
      'empty.jpg': Buffer.alloc(0),
      'text.jpg': Buffer.from('this is not an image'),
      'cut.jpg': jpeg.subarray(0, jpeg.length >> 1),
      'thin.png': await sharp({ create: { width: 2000, height: 2, channels: 3, background: '#fff' } })
        .png()
        .toBuffer(),
    };
    for (const [name, bytes] of Object.entries(files)) {
      const path = join(folder, name);
      writeFileSync(path, bytes);
      await assert.rejects(decodeImage(path, undefined, keep), (error: unknown) => {
        assert.ok(error instanceof UserError);
        assert.ok(error.message.includes(path), error.message);
        return true;
      });
    }
  });
});
