/** @file Random damage to every kind of file: the result is right or one UserError, never a crash or a hang. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { decodeImage } from '../../src/data/decode.js';
import { createLoader, openDataSet, preparePixels, type TaskName } from '../../src/data/index.js';
import { readMatFile } from '../../src/data/mat.js';
import { specFolder } from '../../src/data/pixel-cache.js';
import { UserError } from '../../src/errors.js';
import { hash32, hashString } from '../../src/random.js';
import { collect, noisePixels, temporaryFolder } from './images.js';
import {
  cars,
  writeCarsCsv,
  writeCarsDevkit,
  writeCubs,
  writeFlowers,
  writeWikiartLists,
} from './layouts.js';
import { matFile } from './matWriter.js';

const RUNS = Number(process.env.XBM_FUZZ_RUNS ?? 100);
const timeout = 60_000 + RUNS * 1000;

/** One of several kinds of damage, chosen and placed by the key. */
function damage(bytes: Uint8Array, ...key: number[]): Uint8Array {
  const draw = (n: number, limit: number) => hash32(...key, n) % Math.max(1, limit);
  const at = draw(1, bytes.length);
  const kinds: (() => Uint8Array)[] = [
    () => Uint8Array.from(bytes, (byte, i) => (i === at ? byte ^ (1 << draw(2, 8)) : byte)),
    () => Uint8Array.from(bytes, (byte, i) => (i >= at && i < at + 1 + draw(2, 8) ? draw(i, 256) : byte)),
    () => bytes.subarray(0, at),
    () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(draw(2, bytes.length))]),
    () => Buffer.concat([bytes, bytes.subarray(at)]),
    () => Uint8Array.from(bytes, (byte, i) => (i >= at && i < at + 4 ? 0xff : byte)),
    () =>
      Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from(['\n', ' ', ',', '\0', '-1', '1e99'][draw(2, 6)]),
        bytes.subarray(at),
      ]),
  ];
  return kinds[draw(0, kinds.length)]();
}

/** True when it went well, false when it was refused with a UserError; anything else fails the test. */
async function survives(what: string, action: () => unknown): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    assert.ok(error instanceof UserError, `${what}: ${(error as Error).stack}`);
    assert.ok(error.message.length > 10);
    return false;
  }
}

/** Files below a folder that are not images. */
function listFiles(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => statSync(path).isFile() && /\.(txt|csv|mat)$/.test(path));
}

describe('fuzzing', () => {
  const layouts: [name: string, task: TaskName, write: (root: string) => void | Promise<void>][] = [
    ['CUB’s lists', 'cubs', writeCubs],
    ['the Cars devkit', 'cars', writeCarsDevkit],
    ['Cars CSV files', 'cars', writeCarsCsv],
    ['Flowers MAT-files', 'flowers', writeFlowers],
    ['WikiArt lists', 'wikiart', writeWikiartLists],
  ];
  for (const [name, task, write] of layouts) {
    test(name, { timeout }, async (t) => {
      const root = temporaryFolder(t);
      await write(root);
      const files = listFiles(root).map((path) => ({ path, bytes: readFileSync(path) }));
      let refused = 0;
      for (let run = 0; run < RUNS; run++) {
        const { path, bytes } = files[run % files.length];
        writeFileSync(path, damage(bytes, hashString(name), run));
        const good = await survives(`run ${run}, ${relative(root, path)}`, () =>
          openDataSet({ task, root, crop: true }),
        );
        if (!good) refused++;
        writeFileSync(path, bytes);
      }
      assert.ok(refused > RUNS / 10, `only ${refused} of ${RUNS} were refused`);
    });
  }

  test('uncompressed MAT-files, where damage reaches the structure', { timeout }, async (t) => {
    const path = join(temporaryFolder(t), 'a.mat');
    const annotations = cars('train').map(({ fname, corners }) => ({ box: [...corners], fname }));
    const bytes = matFile({ annotations, names: ['a', 'bc'], n: [1, 2, 3] }, false);
    let refused = 0;
    for (let run = 0; run < 5 * RUNS; run++) {
      writeFileSync(path, damage(bytes, 77, run));
      if (!(await survives(`run ${run}`, () => readMatFile(path)))) refused++;
    }
    assert.ok(refused > RUNS, `only ${refused} were refused`);
  });

  test('images', { timeout }, async (t) => {
    const folder = temporaryFolder(t);
    const image = sharp(noisePixels(40, 30, 1), { raw: { width: 40, height: 30, channels: 3 } });
    const formats = ['jpeg', 'png', 'webp', 'tiff', 'gif'] as const;
    const originals = await Promise.all(formats.map((format) => image.clone().toFormat(format).toBuffer()));
    let refused = 0;
    for (let run = 0; run < RUNS; run++) {
      const path = join(folder, `damaged.${formats[run % formats.length]}`);
      writeFileSync(path, damage(originals[run % formats.length], 99, run));
      const good = await survives(`run ${run}`, async () => {
        const { width, height, pixels } = await decodeImage(path, undefined, { kind: 'square', size: 16 });
        assert.deepEqual([width, height, pixels.length], [16, 16, 16 * 16 * 3]);
      });
      if (!good) refused++;
    }
    assert.ok(refused > RUNS / 10, `only ${refused} of ${RUNS} were refused`);
  });

  test('the pixel cache: right pixels or an error, never wrong pixels', { timeout }, async (t) => {
    const { pixels, shards, cacheFolder, read } = await cachedSet(t);
    const [name] = readdirSync(shards).filter((file) => file.endsWith('.index'));
    const files = [name, name.replace('.index', '.pixels')].map((file) => join(shards, file));
    const originals = files.map((file) => readFileSync(file));
    let refused = 0;
    for (let run = 0; run < RUNS; run++) {
      const which = run % 2;
      writeFileSync(files[which], damage(originals[which], 123, run));
      const good = await survives(`run ${run}`, async () =>
        assert.deepEqual(await read(cacheFolder), pixels),
      );
      if (!good) refused++;
      writeFileSync(files[which], originals[which]);
      for (const other of readdirSync(shards))
        if (!files.includes(join(shards, other))) writeFileSync(join(shards, other), '');
    }
    assert.ok(refused > RUNS / 10, `only ${refused} of ${RUNS} were refused`);
  });
});

/** Five images whose files have one size and one time: only the checksums can tell which pixels belong to which. */
async function cachedSet(t: TestContext) {
  const root = temporaryFolder(t);
  const folder = join(root, 'images', 'a');
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < 5; i++) {
    const file = join(folder, `${i}.png`);
    const image = sharp(noisePixels(20, 24, i), { raw: { width: 20, height: 24, channels: 3 } });
    await image.png({ compressionLevel: 0 }).toFile(file);
    utimesSync(file, 1e9, 1e9);
  }
  const { train } = await openDataSet({ task: 'folder', root: join(root, 'images') });
  const cacheFolder = join(root, 'cache');
  const spec = { kind: 'square', size: 16 } as const;
  await preparePixels({ samples: train, spec, cacheFolder });
  const read = async (folder: string): Promise<Uint8Array> => {
    const loader = await createLoader({
      samples: train,
      mode: 'evaluate',
      augmentation: 'none',
      imageSize: spec.size,
      batchSize: train.length,
      seed: 0,
      workers: 0,
      cacheFolder: folder,
    });
    try {
      return (await collect(loader.epoch(0)))[0].pixels;
    } finally {
      await loader.close();
    }
  };
  return { pixels: await read(cacheFolder), shards: specFolder(cacheFolder, spec), cacheFolder, read };
}
