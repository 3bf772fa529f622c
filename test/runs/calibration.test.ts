import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { experimentSchema } from '../../src/config/schema.js';
import { trainingCalibration } from '../../src/runs/calibration.js';
import { openExperimentData } from '../../src/runs/openExperiment.js';
import { writeClassFolders } from '../data/images.js';
import { DoubleEngine } from '../training/doubles.js';
import { temporaryFolder } from './fixtures.js';

test('a quantised backbone is kept for the pixels and batches it was calibrated on, wherever they lie', async (t) => {
  const folder = temporaryFolder(t);
  const root = join(folder, 'images');
  await writeClassFolders(root, { a: 6, b: 6 });
  const keyOf = async (data: object = {}, training: object = {}) => {
    const experiment = experimentSchema.parse({
      task: 'folder',
      data: { root, cache: join(folder, 'cache'), ...data },
      training: { imageSize: 16, batchSize: 4, ...training },
    });
    const dataSet = await openExperimentData(experiment, {});
    return trainingCalibration(experiment, dataSet, new DoubleEngine(), {}).key();
  };
  const key = await keyOf();
  assert.equal(await keyOf({ validationPercent: 40 }, { seed: 7 }), key, 'held-out images do not matter');
  const moved = join(folder, 'moved');
  cpSync(root, moved, { recursive: true });
  assert.equal(await keyOf({ root: moved }), key);
  const [changed, ...rest] = ['a', 'b'].flatMap((name) =>
    [0, 1, 2, 3, 4, 5].map((i) => join(moved, name, `${i}.png`)),
  );
  for (const file of rest) cpSync(changed, file);
  const keys = [
    key,
    await keyOf({ root: moved }),
    await keyOf({ augmentation: 'random-resized-crop' }),
    await keyOf({}, { imageSize: 12 }),
    await keyOf({}, { batchSize: 3 }),
  ];
  assert.equal(new Set(keys).size, keys.length);
});
