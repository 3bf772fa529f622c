import assert from 'node:assert/strict';
import { copyFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { compareCounts } from '../../src/data/counts.js';
import { openDataSet, verifyDataSet } from '../../src/data/index.js';
import { makePipe, temporaryFolder, writeClassFolders, writeImage } from './images.js';
import { writeFlowers } from './layouts.js';

const plain = { edition: null, subset: false };

describe('verifyDataSet', () => {
  test('a sound folder', async (t) => {
    const root = temporaryFolder(t);
    await writeClassFolders(root, { a: 5, b: 5 });
    const dataSet = await openDataSet({ task: 'folder', root, validationPercent: 25 });
    const progress: number[] = [];
    const report = await verifyDataSet(dataSet, {
      ...plain,
      workers: 2,
      onProgress: (done) => progress.push(done),
    });
    assert.equal(report.ok, true);
    assert.deepEqual([report.counts.train, report.counts.test], [8, 2]);
    assert.deepEqual(report.counts.classes, [
      { name: 'a', train: 4, test: 1 },
      { name: 'b', train: 4, test: 1 },
    ]);
    assert.deepEqual(progress, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test('lists missing, damaged and duplicate files and train images in test', async (t) => {
    const root = temporaryFolder(t);
    for (const split of ['train', 'test']) await writeClassFolders(join(root, split), { a: 4, b: 3 });
    const file = (path: string) => join(root, path);
    copyFileSync(file('train/a/0.png'), file('train/b/2.png'));
    copyFileSync(file('train/a/1.png'), file('test/b/0.png'));
    writeFileSync(file('train/a/3.png'), 'no image');
    const dataSet = await openDataSet({ task: 'folder', root });
    rmSync(file('test/a/2.png'));
    const report = await verifyDataSet(dataSet, plain);
    assert.equal(report.ok, false);
    assert.deepEqual(report.missing, ['test/a/2.png']);
    assert.deepEqual(
      report.corrupt.map(({ path }) => path),
      ['train/a/3.png'],
    );
    assert.match(report.corrupt[0].reason, /3\.png cannot be decoded/);
    assert.deepEqual(report.duplicates, [['train/a/0.png', 'train/b/2.png']]);
    assert.deepEqual(report.overlaps, [{ train: 'train/a/1.png', test: 'test/b/0.png', known: false }]);
  });

  test('lists pipes, devices and links to themselves, and opens none of them', {
    timeout: 60_000,
  }, async (t) => {
    const root = temporaryFolder(t);
    for (const split of ['train', 'test']) await writeClassFolders(join(root, split), { a: 2 });
    const odd = (name: string) => join(root, 'train', 'a', `${name}.png`);
    makePipe(t, odd('pipe'));
    symlinkSync('/dev/null', odd('device'));
    symlinkSync('self.png', odd('self'));
    const report = await verifyDataSet(await openDataSet({ task: 'folder', root }), plain);
    assert.equal(report.ok, false);
    assert.deepEqual(
      report.corrupt.map(({ path, reason }) => [path, reason.replace(/, \w+ '.*$/, '')]),
      [
        ['train/a/device.png', `${odd('device')} is no regular file`],
        ['train/a/pipe.png', `${odd('pipe')} is no regular file`],
        ['train/a/self.png', 'ELOOP: too many symbolic links encountered'],
      ],
    );
  });

  test('counts the files that it skips, by extension', async (t) => {
    const root = temporaryFolder(t);
    for (const split of ['train', 'test']) await writeClassFolders(join(root, split), { a: 2, b: 2 });
    await writeClassFolders(join(root, 'train', 'a'), { nested: 1 });
    renameSync(join(root, 'train/b/1.png'), join(root, 'train/b/1.BMP'));
    writeFileSync(join(root, 'train/b/notes'), '');
    const { skipped, ok } = await verifyDataSet(await openDataSet({ task: 'folder', root }), plain);
    assert.deepEqual({ ...skipped }, { '.png': 1, '.bmp': 1, 'no extension': 1 });
    assert.equal(ok, true);
  });

  test('duplicates within a split alone are no failure', async (t) => {
    const root = temporaryFolder(t);
    for (const split of ['train', 'test']) await writeClassFolders(join(root, split), { a: 2 });
    copyFileSync(join(root, 'train/a/0.png'), join(root, 'train/a/copy.png'));
    const report = await verifyDataSet(await openDataSet({ task: 'folder', root }), plain);
    assert.deepEqual([report.duplicates.length, report.ok], [1, true]);
  });

  test('compares with the published counts of the edition', async (t) => {
    const root = temporaryFolder(t);
    await writeFlowers(root, (path, key) => writeImage(path, 8, 8, key));
    const report = await verifyDataSet(await openDataSet({ task: 'flowers', root }), plain);
    assert.equal(report.ok, false);
    assert.equal(report.counts.published?.edition, '2009');
    assert.ok(report.counts.differences.includes('6 train images, published 2040'));
    assert.ok(report.counts.differences.includes('3 classes, published 102'));
  });

  test('a subset is compared per class only', async (t) => {
    const root = temporaryFolder(t);
    for (const name of ['ant', 'bee']) {
      for (let i = 100; i < 180; i++) {
        if (name === 'ant' || i > 100) await writeImage(join(root, 'png', name, `${i}.png`), 1, 1, i);
      }
    }
    const dataSet = await openDataSet({ task: 'sketches', root });
    const { differences } = compareCounts(dataSet, { edition: null, subset: true });
    assert.deepEqual(differences, ['15 test images in class bee, published 16']);
    const whole = compareCounts(dataSet, plain).differences;
    assert.ok(whole.includes('2 classes, published 250'));
  });
});
