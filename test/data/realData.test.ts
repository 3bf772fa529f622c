/** @file The adapters on real data sets; lists them, and decodes only a few images. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { compareCounts } from '../../src/data/counts.js';
import { createLoader, openDataSet, type TaskName } from '../../src/data/index.js';
import { packageRoot } from '../../src/paths.js';
import { collect, temporaryFolder } from './images.js';

const data = join(packageRoot(), '..', 'shared', 'data');
const skip = existsSync(data) ? false : 'the real data (../shared/data) are absent';

const sets: [task: TaskName, folder: string, train: number, test: number, classes: number][] = [
  ['flowers', 'flowers', 2040, 6149, 102],
  ['cubs', 'cubs', 4829, 1204, 200],
  ['sketches', 'sketches', 2560, 639, 40],
  ['folder', 'quickdraw', 3200, 800, 10],
  ['folder', 'cifar10', 10_000, 2000, 10],
];

describe('real data', { skip }, () => {
  for (const [task, folder, train, testCount, classes] of sets) {
    test(`${folder}: ${train} / ${testCount} images of ${classes} classes`, async () => {
      const dataSet = await openDataSet({ task, root: join(data, folder) });
      assert.deepEqual(
        [dataSet.train.length, dataSet.test.length, dataSet.classes.length],
        [train, testCount, classes],
      );
      const paths = new Set([...dataSet.train, ...dataSet.test].map(({ path }) => path));
      assert.equal(paths.size, train + testCount);
      for (const part of [dataSet.train, dataSet.test]) {
        const labels = new Set(part.map(({ label }) => label));
        assert.deepEqual([labels.size, Math.min(...labels), Math.max(...labels)], [classes, 0, classes - 1]);
        assert.ok(existsSync(part[0].path) && existsSync(part.at(-1)!.path));
      }
    });
  }

  test('the counts are the published ones', async () => {
    for (const [task, folder] of sets.slice(0, 2)) {
      const dataSet = await openDataSet({ task, root: join(data, folder), validationPercent: 10 });
      const edition = task === 'cubs' ? '2010' : null;
      assert.deepEqual(compareCounts(dataSet, { edition, subset: false }).differences, []);
    }
  });

  test('CUB images lie in the folder of their class', async () => {
    const { train, test: rest, classes } = await openDataSet({ task: 'cubs', root: join(data, 'cubs') });
    for (const { path, label } of [...train, ...rest]) assert.ok(path.includes(`/${classes[label]}/`));
  });

  test('another edition than asked for is refused', async () => {
    await assert.rejects(
      openDataSet({ task: 'cubs', root: join(data, 'cubs'), edition: '2011' }),
      /holds edition 2010/,
    );
  });

  test('photographs come out of the loader', async (t) => {
    const { train } = await openDataSet({ task: 'flowers', root: join(data, 'flowers') });
    const loader = await createLoader({
      samples: train.slice(0, 16),
      mode: 'train',
      augmentation: 'random-resized-crop',
      imageSize: 64,
      batchSize: 8,
      seed: 0,
      workers: 1,
      cacheFolder: temporaryFolder(t),
    });
    const batches = await collect(loader.epoch(0));
    await loader.close();
    assert.equal(batches.length, 2);
    const spread = new Set(batches[0].pixels).size;
    assert.ok(spread > 200, `${spread} different values in a batch of photographs`);
  });
});
