import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createLoader, openDataSet, preparePixels, type Sample } from '../../src/data/index.js';
import { specFolder } from '../../src/data/pixel-cache.js';
import { readShardIndex } from '../../src/data/shard.js';
import { ExitCode, UserError } from '../../src/errors.js';
import { hashString } from '../../src/random.js';
import { collect, makePipe, temporaryFolder, writeClassFolders, writeImage } from './images.js';

const spec = { kind: 'square', size: 16 } as const;

async function setUp(
  t: TestContext,
): Promise<{ samples: readonly Sample[]; cacheFolder: string; shards: string }> {
  const folder = temporaryFolder(t);
  await writeClassFolders(join(folder, 'images'), { a: 5, b: 4 });
  const { train, test: rest } = await openDataSet({ task: 'folder', root: join(folder, 'images') });
  const cacheFolder = join(folder, 'cache');
  return { samples: [...train, ...rest], cacheFolder, shards: specFolder(cacheFolder, spec) };
}

function openLoader(samples: readonly Sample[], cacheFolder: string) {
  return createLoader({
    samples,
    mode: 'evaluate',
    augmentation: 'none',
    imageSize: 16,
    batchSize: samples.length,
    seed: 0,
    workers: 0,
    cacheFolder,
  });
}

/** The pixels of all samples through a loader, [samples, 16, 16, 3]. */
async function pixelsOf(samples: readonly Sample[], cacheFolder: string): Promise<Uint8Array> {
  const loader = await openLoader(samples, cacheFolder);
  const [{ pixels }] = await collect(loader.epoch(0));
  await loader.close();
  return pixels;
}

const filesEnding = (folder: string, end: string) => readdirSync(folder).filter((name) => name.endsWith(end));

describe('the pixel cache', () => {
  test('decodes once and tells its progress', async (t) => {
    const { samples, cacheFolder, shards } = await setUp(t);
    const progress: string[] = [];
    const onProgress = (done: number, total: number) => progress.push(`${done}/${total}`);
    assert.equal((await preparePixels({ samples, spec, cacheFolder, onProgress })).decoded, 9);
    assert.deepEqual([progress[0], progress.at(-1)], ['0/9', '9/9']);
    assert.equal((await preparePixels({ samples, spec, cacheFolder, onProgress })).decoded, 0);
    assert.equal(filesEnding(shards, '.pixels').length, 1);
    const [name] = filesEnding(shards, '.pixels');
    assert.equal(statSync(join(shards, name)).size, 9 * 16 * 16 * 3);
  });

  test('a file used by two samples is decoded once; a box makes another entry', async (t) => {
    const { samples, cacheFolder } = await setUp(t);
    const boxed = { ...samples[0], box: { x: 0, y: 0, width: 8, height: 8 } };
    const twice = [samples[0], { ...samples[0], label: 1 }, boxed];
    const { decoded, images } = await preparePixels({ samples: twice, spec, cacheFolder });
    assert.equal(decoded, 2);
    assert.deepEqual(images[0], images[1]);
    assert.notDeepEqual(images[0], images[2]);
  });

  test('a changed image is noticed, by content or by time', async (t) => {
    const { samples, cacheFolder } = await setUp(t);
    const before = await pixelsOf(samples, cacheFolder);
    await writeImage(samples[2].path, 24, 28, 999);
    utimesSync(samples[4].path, new Date(0), new Date(0));
    assert.equal((await preparePixels({ samples, spec, cacheFolder })).decoded, 2);
    const after = await pixelsOf(samples, cacheFolder);
    const bytes = 16 * 16 * 3;
    for (let i = 0; i < samples.length; i++) {
      const [old, now] = [before, after].map((pixels) => pixels.subarray(i * bytes, (i + 1) * bytes));
      if (i === 2) assert.notDeepEqual(now, old);
      else assert.deepEqual(now, old);
    }
  });

  test('killed at any moment, it goes on with what is there', async (t) => {
    const { samples, cacheFolder, shards } = await setUp(t);
    const whole = await pixelsOf(samples, cacheFolder);
    const [name] = filesEnding(shards, '.index');
    const index = readFileSync(join(shards, name), 'utf8');
    const pixels = join(shards, name.replace('.index', '.pixels'));
    const bytes = statSync(pixels).size;
    for (const lines of [0, 1, 4, 8]) {
      // What kill -9 leaves: some complete lines, one cut off, and pixels that may have got further.
      const kept = index
        .split('\n')
        .slice(0, lines)
        .map((line) => `${line}\n`)
        .join('');
      for (const old of readdirSync(shards).filter((other) => !other.startsWith(name.slice(0, -6)))) {
        writeFileSync(join(shards, old), '');
      }
      writeFileSync(join(shards, name), `${kept}["${samples[8].path}",12`);
      assert.equal((await preparePixels({ samples, spec, cacheFolder })).decoded, 9 - lines);
      assert.deepEqual(await pixelsOf(samples, cacheFolder), whole);
    }
    writeFileSync(join(shards, name), index);
    for (const old of filesEnding(shards, '.index').filter((other) => other !== name)) {
      writeFileSync(join(shards, old), '');
    }
    truncateSync(pixels, bytes - 1);
    assert.equal((await preparePixels({ samples, spec, cacheFolder })).decoded, 1, 'a cut pixels file');
    assert.deepEqual(await pixelsOf(samples, cacheFolder), whole);
  });

  test('a process killed with SIGKILL leaves a cache that is completed', async (t) => {
    const folder = temporaryFolder(t);
    await writeClassFolders(join(folder, 'images'), { a: 300, b: 300 }, 8);
    const { train, test: rest } = await openDataSet({ task: 'folder', root: join(folder, 'images') });
    const samples = [...train, ...rest];
    const module = fileURLToPath(new URL('../../src/data/index.js', import.meta.url));
    const script = `
      import { preparePixels } from ${JSON.stringify(module)};
      await preparePixels({ samples: ${JSON.stringify(samples)}, spec: ${JSON.stringify(spec)},
        cacheFolder: ${JSON.stringify(join(folder, 'cache'))}, workers: 1,
        onProgress: (done) => { if (done >= 300) process.kill(process.pid, 'SIGKILL'); } });`;
    writeFileSync(join(folder, 'script.mjs'), script);
    const child = spawn(process.execPath, [join(folder, 'script.mjs')], { stdio: 'inherit' });
    const signal = await new Promise((resolve) => child.on('exit', (_, signal) => resolve(signal)));
    assert.equal(signal, 'SIGKILL');
    const cacheFolder = join(folder, 'cache');
    const { decoded } = await preparePixels({ samples, spec, cacheFolder });
    // 300 images were done; lines are written for every 128.
    assert.equal(decoded, 600 - 256);
    assert.equal((await preparePixels({ samples, spec, cacheFolder })).decoded, 0);
  });

  test('damaged pixels are found when they are read, and decoded anew at the next start', async (t) => {
    const { samples, cacheFolder, shards } = await setUp(t);
    const pixels = await pixelsOf(samples, cacheFolder);
    const [name] = filesEnding(shards, '.pixels');
    const bytes = readFileSync(join(shards, name));
    bytes[3 * 16 * 16 * 3 + 100] ^= 4;
    writeFileSync(join(shards, name), bytes);
    await assert.rejects(pixelsOf(samples, cacheFolder), (error: unknown) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, new RegExp(`the pixel cache is damaged: .*${name}`));
      assert.match(error.hint ?? '', /Run the command again, .*--resume; the image is decoded again/);
      return true;
    });
    assert.equal((await preparePixels({ samples, spec, cacheFolder })).decoded, 1);
    assert.deepEqual(await pixelsOf(samples, cacheFolder), pixels);
  });

  test('a shard that is removed under a run is decoded anew at the next start', async (t) => {
    const { samples, cacheFolder, shards } = await setUp(t);
    const loader = await openLoader(samples, cacheFolder);
    const [name] = filesEnding(shards, '.pixels');
    rmSync(join(shards, name));
    await assert.rejects(collect(loader.epoch(0)), {
      message: `the pixel cache is incomplete: ${join(shards, name)} was removed during the run`,
      hint: 'Run the command again, a training with --resume; its images are decoded again.',
    });
    await loader.close();
    assert.equal((await preparePixels({ samples, spec, cacheFolder })).decoded, 9);
  });

  test('a folder that is called like an index is passed over', async (t) => {
    const { samples, cacheFolder, shards } = await setUp(t);
    mkdirSync(join(shards, 'a.index'), { recursive: true });
    await preparePixels({ samples, spec, cacheFolder });
    assert.equal((await preparePixels({ samples, spec, cacheFolder })).decoded, 0);
  });

  test('an index line that says something else is not believed', async (t) => {
    const { samples, cacheFolder, shards } = await setUp(t);
    await preparePixels({ samples, spec, cacheFolder });
    const [name] = filesEnding(shards, '.index');
    for (const line of [
      'null',
      '[]',
      '{"a":1}',
      '["x",1,2,16,16,-5,0]',
      '["x",1,2,1e9,1e9,0,0]',
      '\u0000',
      '[1,2',
    ]) {
      appendFileSync(join(shards, name), `${line}\n${hashString(line)} ${line}\n`);
    }
    assert.equal(readShardIndex(shards, name.slice(0, -'.index'.length)).length, 9);
  });

  test('a damaged line never gives one image the pixels of another', async (t) => {
    const { samples, cacheFolder, shards } = await setUp(t);
    const sizes = samples.map(({ path }) => statSync(path).size);
    for (const { path } of samples) {
      // One size and one time: nothing but the path tells the files apart.
      appendFileSync(path, new Uint8Array(Math.max(...sizes) - statSync(path).size));
      utimesSync(path, 1e9, 1e9);
    }
    await preparePixels({ samples, spec, cacheFolder });
    const pixels = await pixelsOf(samples, cacheFolder);
    const [name] = filesEnding(shards, '.index');
    const lines = readFileSync(join(shards, name), 'utf8').trimEnd().split('\n');
    const [first, second] = samples.map(({ path }) => path);
    const flipped = lines.map((line) => line.replace(JSON.stringify(second), JSON.stringify(first)));
    assert.notDeepEqual(flipped, lines);
    writeFileSync(join(shards, name), `${flipped.join('\n')}\n`);
    assert.deepEqual(await pixelsOf(samples, cacheFolder), pixels);
  });

  test('damaged and missing images are listed; the loader refuses them by name', async (t) => {
    const { samples, cacheFolder, shards } = await setUp(t);
    writeFileSync(samples[1].path, 'no image');
    const missing = { path: join(cacheFolder, 'nowhere.png'), label: 0 };
    const { failures, images } = await preparePixels({ samples: [...samples, missing], spec, cacheFolder });
    assert.deepEqual(
      failures.map(({ sample }) => sample.path).sort(),
      [samples[1].path, missing.path].sort(),
    );
    assert.equal(images[1], undefined);
    assert.equal((await preparePixels({ samples, spec, cacheFolder })).failures.length, 1);
    assert.equal(filesEnding(shards, '').length, 2, 'a run that only failed leaves no files');
    assert.equal(images.filter((image) => image !== undefined).length, 8);
    await assert.rejects(pixelsOf(samples, cacheFolder), /1 of 9 images cannot be used: .*cannot be decoded/);
  });

  test('a pipe that is called like an image is listed, not read', { timeout: 30_000 }, async (t) => {
    const { samples, cacheFolder } = await setUp(t);
    const pipe = { path: join(cacheFolder, 'pipe.png'), label: 0 };
    mkdirSync(cacheFolder, { recursive: true });
    makePipe(t, pipe.path);
    const { failures, decoded } = await preparePixels({ samples: [...samples, pipe], spec, cacheFolder });
    assert.deepEqual(
      failures.map(({ error }) => error.message),
      [`${pipe.path} is no regular file`],
    );
    assert.ok(decoded > 0);
  });

  test('an aborted signal stops it; what is decoded is kept', async (t) => {
    const { samples, cacheFolder } = await setUp(t);
    const controller = new AbortController();
    const onProgress = (done: number) => done >= 2 && controller.abort();
    const stopped = preparePixels({
      samples,
      spec,
      cacheFolder,
      workers: 1,
      onProgress,
      signal: controller.signal,
    });
    await assert.rejects(stopped, { name: 'AbortError' });
    const { decoded } = await preparePixels({ samples, spec, cacheFolder });
    assert.ok(decoded > 0 && decoded <= 7, `${decoded} decoded`);
  });

  test('a full disk and a folder that cannot be written give a clear message', async (t) => {
    const { samples, cacheFolder } = await setUp(t);
    await assert.rejects(preparePixels({ samples, spec, cacheFolder: samples[0].path }), (error: unknown) => {
      assert.ok(error instanceof UserError);
      const file = samples[0].path;
      assert.equal(
        error.message,
        `no pixel cache: ${specFolder(file, spec)}: cannot be created: ${file} is a file, expected a folder`,
      );
      assert.equal(error.hint, 'Set data.cache to a folder that you may write.');
      return true;
    });
    mkdirSync(cacheFolder);
    // A limit on the size of files stands in for a full disk.
    const module = fileURLToPath(new URL('../../src/data/index.js', import.meta.url));
    const script = `
      import { preparePixels } from ${JSON.stringify(module)};
      await preparePixels({ samples: ${JSON.stringify(samples)}, spec: { kind: 'square', size: 64 },
        cacheFolder: ${JSON.stringify(cacheFolder)} }).catch((error) => console.log(JSON.stringify({ ...error, message: error.message })));`;
    writeFileSync(join(cacheFolder, 'script.mjs'), script);
    const limited = `ulimit -f 16; exec "$0" "$1"`;
    const args = ['-c', limited, process.execPath, join(cacheFolder, 'script.mjs')];
    const { stdout } = await promisify(execFile)('bash', args);
    const { message, exitCode } = JSON.parse(stdout);
    assert.match(message, /no space left for the pixel cache in/);
    assert.equal(exitCode, ExitCode.unavailable);
  });
});
