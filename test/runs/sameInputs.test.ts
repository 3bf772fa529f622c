import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { experimentSchema } from '../../src/config/schema.js';
import { UserError } from '../../src/errors.js';
import { fileSha256 } from '../../src/model/hash.js';
import { buildNetwork } from '../../src/model/networks.js';
import { saveBackbone } from '../../src/model/store.js';
import { compareBackbone, compareImages, type PresentImages } from '../../src/runs/sameInputs.js';
import { randomBackbone } from '../../src/training/randomBackbone.js';
import { writeBackbone } from '../cli/smallTask.js';
import { finish, runsOf } from '../reproduce/fixtures.js';
import { temporaryFolder } from './fixtures.js';

const [run] = runsOf('name: a\ntasks: [flowers]\nmethods: [xbm]\n');

test('float weights are known by the file that the run’s backbone was made from', async (t) => {
  const folder = temporaryFolder(t);
  const home = process.env.XBM_HOME;
  process.env.XBM_HOME = folder;
  t.after(() => {
    if (home === undefined) delete process.env.XBM_HOME;
    else process.env.XBM_HOME = home;
  });
  const weights = join(folder, 'float.safetensors');
  const experiment = experimentSchema.parse({
    task: 'flowers',
    backbone: { network: 'cifar-resnet8', weights },
  });
  const float = (seed: number) =>
    saveBackbone(weights, randomBackbone(buildNetwork('cifar-resnet8', 10), seed), {
      sourceSha256: '',
      calibration: '',
    });
  await float(1);
  const made = await writeBackbone(
    join(folder, 'backbones', 'made.safetensors'),
    1,
    await fileSha256(weights),
  );
  const { summary } = finish(run, { backboneSha256: made.sha256 });
  assert.equal((await compareBackbone(experiment, summary)).is, 'same');
  await float(2);
  const other = await compareBackbone(experiment, summary);
  assert.match(
    other.is === 'different' ? other.differs : '',
    /made from a file of SHA-256 [0-9a-f]{12}…; .*float/,
  );
  const gone = await compareBackbone(experiment, finish(run).summary);
  assert.match(gone.is === 'unknown' ? gone.why : '', /the store no longer has backbone b{12}…/);
});

test('images are the same by count, and by names, labels and pixels', async () => {
  const images = { root: '/images', train: { count: 9, hash: 'a' }, test: { count: 3, hash: 'b' } };
  const noted = { trainImages: 9, testImages: 3, trainImagesHash: 'a', testImagesHash: 'b' };
  const compare = (changes: object, now: PresentImages | UserError = images) =>
    compareImages(finish(run, { ...noted, ...changes }).summary, async () => now);
  assert.deepEqual(await compare({}), { is: 'same' });
  assert.deepEqual(await compare({ trainImages: 8, testImagesHash: 'c' }), {
    is: 'different',
    differs: '/images has 9 training images instead of 8 and other test images (names, labels or pixels)',
  });
  assert.deepEqual(await compare({}, new UserError('no such folder')), {
    is: 'unknown',
    why: 'no such folder',
  });
});

test('for a run that noted no images none are read: that may take minutes', async () => {
  const older = finish(run, { trainImagesHash: undefined, testImagesHash: undefined }).summary;
  const compared = await compareImages(older, () => assert.fail('images were read'));
  assert.match(compared.is === 'unknown' ? compared.why : '', /an older version of xbm/);
});
