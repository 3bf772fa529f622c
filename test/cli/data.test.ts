import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { main } from '../../src/cli/main.js';
import { writeClassFolders } from '../data/images.js';
import { fakeIo } from './fakeIo.js';

let folder: string;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'xbm-cli-data-'));
  for (const split of ['train', 'test'])
    await writeClassFolders(join(folder, 'folder', split), { ant: 4, bee: 3 });
});
after(() => rmSync(folder, { recursive: true, force: true }));

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = fakeIo({ env: { XBM_DATA: folder }, cwd: folder });
  const code = await main(['data', ...argv], io);
  return { code, out: io.out(), err: io.err() };
}

const settings = () => ['--set', 'training.imageSize=16', '--set', `data.cache=${join(folder, 'cache')}`];

test('data list shows the published sizes and where the images are looked for', async () => {
  const table = await run('list');
  assert.equal(table.code, 0);
  assert.match(table.out, /cubs +Caltech-UCSD Birds 200 +2011 +5994 +5794 +200/);
  const { tasks } = JSON.parse((await run('list', '--json')).out);
  const present = Object.fromEntries(
    tasks.map(({ task, present }: { task: string; present: boolean }) => [task, present]),
  );
  assert.deepEqual(present, {
    cubs: false,
    cars: false,
    flowers: false,
    wikiart: false,
    sketches: false,
    folder: true,
  });
});

test('data prepare decodes once', async () => {
  const first = await run('prepare', 'folder', ...settings(), '--json', '--workers', '1');
  assert.equal(first.code, 0, first.err);
  const report = JSON.parse(first.out);
  assert.deepEqual([report.images, report.decoded, report.cached, report.failed], [14, 14, 0, []]);
  assert.match(first.err, /folder: decoding: 14\/14 images.*done in/);
  const again = await run('prepare', 'folder', '--root', 'folder', ...settings());
  assert.match(again.out, /14 images, 0 decoded now, 14 cached before/);
});

test('data prepare names the pixels of older versions, which can be deleted', async () => {
  const cache = join(folder, 'old cache');
  for (const name of ['v1-square-32', 'v2-square-32', 'mine'])
    mkdirSync(join(cache, name), { recursive: true });
  const prepared = await run('prepare', 'folder', ...settings(), '--set', `data.cache=${cache}`);
  assert.equal(prepared.code, 0, prepared.err);
  const named = prepared.err.split('\n').filter((line) => line.includes('can be deleted'));
  assert.deepEqual(named.length, 1);
  assert.ok(named[0].startsWith(`${join(cache, 'v1-square-32')}: `));
});

test('data prepare keeps the good images, lists the bad ones and fails', async () => {
  const root = join(folder, 'damaged');
  await writeClassFolders(root, { ant: 5, bee: 5 });
  writeFileSync(join(root, 'bee', '3.png'), 'x');
  const result = await run('prepare', 'folder', '--root', root, ...settings(), '--json');
  assert.equal(result.code, 4);
  const report = JSON.parse(result.out);
  assert.deepEqual([report.decoded, report.failed.length], [9, 1]);
  assert.equal(report.failed[0].path, join(root, 'bee', '3.png'));
  assert.match(result.err, /1 of 10 images cannot be used/);
});

test('data verify: a sound set, then a train image in test', async () => {
  const sound = await run('verify', 'folder', '--json');
  assert.equal(sound.code, 0, sound.err);
  assert.equal(JSON.parse(sound.out).ok, true);
  const root = join(folder, 'leaking');
  for (const split of ['train', 'test']) await writeClassFolders(join(root, split), { ant: 3, bee: 3 });
  copyFileSync(join(root, 'train', 'ant', '1.png'), join(root, 'test', 'ant', 'copy.png'));
  const leaking = await run('verify', 'folder', '--root', root);
  assert.equal(leaking.code, 4);
  assert.match(
    leaking.out,
    /train images that occur in test: 1\n {2}train\/ant\/1\.png = test\/ant\/copy\.png/,
  );
  assert.match(leaking.err, /1 train images occur in test/);
});

test('data show draws a sheet, plain or augmented', async () => {
  for (const flags of [[], ['--augmented', '--split', 'test']]) {
    const result = await run(
      'show',
      'folder',
      '--out',
      'sheet.png',
      '--per-class',
      '3',
      ...settings(),
      '--json',
      ...flags,
    );
    assert.equal(result.code, 0, result.err);
    const { out, images, classes } = JSON.parse(result.out);
    assert.deepEqual([out, images, classes], [join(folder, 'sheet.png'), 6, ['ant', 'bee']]);
    const { format, width, height } = await sharp(out).metadata();
    assert.deepEqual([format, width, height], ['png', 200 + 3 * 116, 4 + 2 * 116]);
    const { channels } = await sharp(out).extract({ left: 0, top: 0, width: 200, height: 100 }).stats();
    assert.ok(channels[0].min < 100, 'the class name is drawn');
  }
});

test('data show draws classes whose names XML cannot hold', async () => {
  const root = join(folder, 'strange');
  await writeClassFolders(root, { 'a\u0001<&"': 2, b: 2 });
  const { code, err } = await run('show', 'folder', '--root', root, '--out', 'strange.png', ...settings());
  assert.equal(code, 0, err);
});

const mistakes: readonly { argv: string[]; message: RegExp }[] = [
  { argv: ['prepare', 'cubs'], message: /cubs does not exist/ },
  { argv: ['prepare', 'bird'], message: /no packaged config for task "bird"/ },
  { argv: ['prepare', 'folder', '--workers', '0'], message: /Expected a whole number from 1/ },
  { argv: ['show', 'folder', '--out', 'sheet.jpg'], message: /expected a file that ends in \.png/ },
  { argv: ['show', 'folder', '--out', 'x.png', '--classes', '101'], message: /whole number from 1 to 100/ },
  { argv: ['show', 'folder', '--out', 'x.png', '--per-class', '51'], message: /whole number from 1 to 50/ },
  {
    argv: ['show', 'folder', '--out', 'x.png', '--split', 'validation'],
    message: /the validation split has no images\nAdd --set data\.validationPercent=10/,
  },
  { argv: ['verify', 'folder', '--root', 'nowhere'], message: /nowhere does not exist/ },
  { argv: ['show', 'folder'], message: /required option '--out <file>'/ },
  {
    argv: ['show', 'folder', '--out', 'x.png', '--split', 'dev'],
    message: /Expected train, validation or test/,
  },
  {
    argv: ['show', 'folder', '--out', 'x.png', '--split', 'validation', ...['--set', 'data.edition=1999']],
    message: /data\.edition/,
  },
];
for (const { argv, message } of mistakes) {
  test(`"data ${argv.join(' ')}" is a usage error`, async () => {
    const { code, err } = await run(...argv);
    assert.equal(code, 2, err);
    assert.match(err, message);
  });
}
