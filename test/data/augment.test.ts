import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { randomResizedCrop, type View, type ViewOptions, viewOf } from '../../src/data/augment.js';
import { pixelSpec, shortSideDimensions } from '../../src/data/pixel-spec.js';
import { uniform } from '../../src/random.js';

const options = (changes: Partial<ViewOptions> = {}): ViewOptions => ({
  mode: 'train',
  augmentation: 'random-resized-crop',
  imageSize: 224,
  seed: 0,
  ...changes,
});

const cropOf = (view: View) => {
  assert.equal(view.kind, 'crop');
  return (view as View & { kind: 'crop' }).crop;
};
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe('viewOf', () => {
  test('is a function of seed, epoch and sample, and of each of them', () => {
    const size = { width: 320, height: 256 };
    const view = viewOf(options(), size, 3, 7);
    assert.deepEqual(viewOf(options(), size, 3, 7), view);
    assert.notDeepEqual(viewOf(options(), size, 3, 8), view);
    assert.notDeepEqual(viewOf(options(), size, 4, 7), view);
    assert.notDeepEqual(viewOf(options({ seed: 1 }), size, 3, 7), view);
  });

  test('crops lie inside the cached image and have the area and ratio of torchvision', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 700 }),
        fc.integer({ min: 1, max: 700 }),
        fc.nat(),
        (width, height, index) => {
          const crop = cropOf(viewOf(options(), { width, height }, 0, index));
          assert.ok(crop.x >= 0 && crop.y >= 0 && crop.width > 0 && crop.height > 0);
          assert.ok(crop.x + crop.width <= width + 1e-9 && crop.y + crop.height <= height + 1e-9);
        },
      ),
      { seed: 1, numRuns: 500 },
    );
  });

  test('statistics of RandomResizedCrop on a square: area uniform in 0.08 … 1 but for rejects, log ratio symmetric', () => {
    const crops = Array.from({ length: 4000 }, (_, i) =>
      randomResizedCrop(256, 256, (...key) => uniform(5, i, ...key)),
    );
    const areas = crops.map(({ width, height }) => (width * height) / 256 ** 2);
    const ratios = crops.map(({ width, height }) => Math.log(width / height));
    assert.ok(Math.min(...areas) < 0.1 && Math.max(...areas) > 0.95);
    // Rejecting boxes that do not fit moves the mean area from 0.54 to 0.479: a simulation of the same rule in Python, 400,000 draws.
    assert.ok(Math.abs(mean(areas) - 0.479) < 0.015, `mean area ${mean(areas)}`);
    assert.ok(Math.abs(mean(ratios)) < 0.015, `mean log ratio ${mean(ratios)}`);
    assert.ok(Math.max(...ratios.map(Math.abs)) < Math.log(4 / 3) + 0.05);
    const centres = crops.map(({ x, width }) => x + width / 2);
    assert.ok(Math.abs(mean(centres) - 128) < 2, `mean centre ${mean(centres)}`);
  });

  test('an image too thin for any draw falls back to the central crop', () => {
    assert.deepEqual(
      randomResizedCrop(2000, 100, () => 0.999),
      { x: 933, y: 0, width: 133, height: 100 },
    );
    assert.deepEqual(
      randomResizedCrop(100, 2000, () => 0.999),
      { x: 0, y: 933, width: 100, height: 133 },
    );
  });

  test('half of the training views are mirrored, no evaluation view is', () => {
    for (const augmentation of ['random-resized-crop', 'resize-flip', 'pad-crop'] as const) {
      const size = { width: 224, height: 224 };
      const flips = Array.from(
        { length: 2000 },
        (_, i) => +viewOf(options({ augmentation }), size, 0, i).flip,
      );
      assert.ok(Math.abs(mean(flips) - 0.5) < 0.04, `${augmentation}: ${mean(flips)}`);
      assert.equal(viewOf(options({ augmentation, mode: 'evaluate' }), size, 0, 1).flip, false);
    }
  });

  test('pad-crop shifts by up to an eighth, every amount alike', () => {
    const counts = new Map<number, number>();
    for (let i = 0; i < 9000; i++) {
      const view = viewOf(
        options({ augmentation: 'pad-crop', imageSize: 32 }),
        { width: 32, height: 32 },
        0,
        i,
      );
      assert.equal(view.kind, 'shift');
      if (view.kind === 'shift') counts.set(view.x, (counts.get(view.x) ?? 0) + 1);
    }
    assert.deepEqual(
      [...counts.keys()].sort((a, b) => a - b),
      [-4, -3, -2, -1, 0, 1, 2, 3, 4],
    );
    for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 150, `${count}`);
  });

  test('evaluation: centre crop of 224 from a short side of 256, also from smaller cached pixels', () => {
    const evaluate = options({ mode: 'evaluate' });
    const crop = cropOf(viewOf(evaluate, { width: 341, height: 256 }, 0, 0));
    assert.deepEqual(crop, { x: 59, y: 16, width: 224, height: 224 });
    const small = cropOf(viewOf(evaluate, { width: 128, height: 128 }, 5, 3));
    assert.deepEqual(small, { x: 8, y: 8, width: 112, height: 112 });
  });

  test('cropPercent sets the short side that the centre crop is taken from; 100 leaves no margin', () => {
    const evaluate = (cropPercent?: number) => options({ mode: 'evaluate', cropPercent });
    const size = { width: 299, height: 224 };
    assert.deepEqual(cropOf(viewOf(evaluate(100), size, 0, 0)), { x: 38, y: 0, width: 224, height: 224 });
    const half = cropOf(viewOf(evaluate(50), { width: 448, height: 448 }, 0, 0));
    assert.deepEqual(half, { x: 112, y: 112, width: 224, height: 224 });
    assert.deepEqual(viewOf(evaluate(87.5), size, 0, 0), viewOf(evaluate(), size, 0, 0));
    for (const imageSize of [8, 96, 160, 224, 255]) {
      assert.equal(pixelSpec('random-resized-crop', imageSize).size, Math.round((256 / 224) * imageSize));
      assert.deepEqual(pixelSpec('random-resized-crop', imageSize, 100), {
        kind: 'short-side',
        size: imageSize,
      });
    }
    assert.deepEqual(pixelSpec('none', 32, 50), { kind: 'square', size: 32 });
  });

  test('shortSideDimensions truncates the long side as torchvision does', () => {
    assert.deepEqual(shortSideDimensions(500, 375, 256), [341, 256]);
    assert.deepEqual(shortSideDimensions(375, 500, 256), [256, 341]);
    assert.deepEqual(shortSideDimensions(300, 300, 256), [256, 256]);
  });
});
