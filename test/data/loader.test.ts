import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type Augmentation,
  type Batch,
  createLoader,
  hashImages,
  type LoaderOptions,
  openDataSet,
  type Sample,
} from '../../src/data/index.js';
import { UserError } from '../../src/errors.js';
import { collect, writeClassFolders } from './images.js';

let root: string;
let samples: readonly Sample[];
before(async () => {
  root = mkdtempSync(join(tmpdir(), 'xbm-loader-'));
  await writeClassFolders(join(root, 'train'), { a: 7, b: 8, c: 6 });
  await writeClassFolders(join(root, 'test'), { a: 2, b: 2, c: 2 });
  samples = (await openDataSet({ task: 'folder', root })).train;
});
after(() => rmSync(root, { recursive: true, force: true }));

function options(changes: Partial<LoaderOptions> = {}): LoaderOptions {
  return {
    samples,
    mode: 'train',
    augmentation: 'random-resized-crop',
    imageSize: 16,
    batchSize: 4,
    seed: 3,
    workers: 0,
    cacheFolder: join(root, 'cache'),
    ...changes,
  };
}

async function batches(changes: Partial<LoaderOptions>, epoch = 1, fromBatch = 0): Promise<Batch[]> {
  const loader = await createLoader(options(changes));
  try {
    return await collect(loader.epoch(epoch, fromBatch));
  } finally {
    await loader.close();
  }
}

const augmentations: Augmentation[] = ['random-resized-crop', 'resize-flip', 'pad-crop', 'none'];

describe('createLoader', () => {
  for (const augmentation of augmentations) {
    test(`${augmentation}: the same batches with 0, 1 and 3 workers, and on resuming`, async () => {
      const plain = await batches({ augmentation });
      assert.equal(plain.length, 5);
      assert.deepEqual(await batches({ augmentation, workers: 1 }), plain);
      assert.deepEqual(await batches({ augmentation, workers: 3 }), plain);
      assert.deepEqual(await batches({ augmentation, workers: 2 }, 1, 3), plain.slice(3));
    });
  }

  test('another epoch or seed gives other batches', async () => {
    const [batch] = await batches({});
    assert.notDeepEqual((await batches({}, 2))[0], batch);
    assert.notDeepEqual((await batches({ seed: 4 }))[0], batch);
  });

  test('an epoch shows each sample at most once and drops the rest', async () => {
    const labels = (await batches({ workers: 1 })).flatMap((batch) => [...batch.labels]);
    assert.equal(labels.length, 20);
    const counts = [0, 1, 2].map((label) => labels.filter((other) => other === label).length);
    assert.equal(Math.max(7 - counts[0], 8 - counts[1], 6 - counts[2]), 1);
  });

  test('evaluation keeps the order and pads the last batch', async () => {
    const evaluated = await batches({ mode: 'evaluate', workers: 2 });
    assert.equal(evaluated.length, 6);
    const labels = evaluated.flatMap((batch) => [...batch.labels]);
    assert.deepEqual(labels, [...samples.map((sample) => sample.label), -1, -1, -1]);
    assert.deepEqual(await batches({ mode: 'evaluate', seed: 9 }, 7), evaluated);
    const padding = evaluated[5].pixels.subarray(16 * 16 * 3);
    assert.ok(padding.every((value) => value === 0));
  });

  test('the hash of the images depends on names, labels and pixels, not on where they lie', async () => {
    const loader = await createLoader(options());
    await loader.close();
    assert.equal(await hashImages(options()), loader.imagesHash);
    const hashOf = async (change: (root: string) => void) => {
      const copy = mkdtempSync(join(root, 'copy-'));
      cpSync(join(root, 'train'), join(copy, 'train'), { recursive: true });
      cpSync(join(root, 'test'), join(copy, 'test'), { recursive: true });
      change(join(copy, 'train'));
      const { train } = await openDataSet({ task: 'folder', root: copy });
      return hashImages(options({ samples: train }));
    };
    assert.equal(await hashOf(() => {}), loader.imagesHash);
    const changes: ((root: string) => void)[] = [
      (train) => cpSync(join(train, 'a', '0.png'), join(train, 'a', '1.png')),
      (train) => renameSync(join(train, 'a', '0.png'), join(train, 'a', '00.png')),
      (train) => renameSync(join(train, 'a', '6.png'), join(train, 'b', '8.png')),
      (train) => rmSync(join(train, 'c', '5.png')),
    ];
    const hashes = await Promise.all(changes.map(hashOf));
    assert.equal(new Set([...hashes, loader.imagesHash]).size, 5);
  });

  test('too few samples for a training batch', async () => {
    await assert.rejects(createLoader(options({ batchSize: 22 })), (error: unknown) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, /21 training images do not fill one batch of 22/);
      return true;
    });
  });

  test('leaving an epoch early, then another epoch, then close', async () => {
    const loader = await createLoader(options({ workers: 2 }));
    for await (const batch of loader.epoch(1)) {
      assert.equal(batch.pixels.length, 4 * 16 * 16 * 3);
      break;
    }
    assert.deepEqual(await collect(loader.epoch(1)), await batches({}));
    await loader.close();
    await assert.rejects(collect(loader.epoch(1)), /closed/);
  });
});
