/** @file Worker threads: errors come through, and nothing keeps the process alive. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createLoader, openDataSet } from '../../src/data/index.js';
import { specFolder } from '../../src/data/pixel-cache.js';
import { pixelSpec } from '../../src/data/pixel-spec.js';
import { listShards } from '../../src/data/shard.js';
import { UserError } from '../../src/errors.js';
import { collect, temporaryFolder, writeClassFolders } from './images.js';

const module = fileURLToPath(new URL('../../src/data/index.js', import.meta.url));

describe('worker threads', () => {
  const endings: [name: string, code: string][] = [
    ['an epoch left early, without close', 'for await (const _ of loader.epoch(0)) break;'],
    ['an epoch read to its end, without close', 'for await (const _ of loader.epoch(0));'],
    [
      'close while batches are rendered',
      'const i = loader.epoch(0)[Symbol.asyncIterator](); await i.next(); await loader.close();',
    ],
    ['never used', ''],
    [
      'an error in the loop',
      'try { for await (const _ of loader.epoch(0)) throw new Error("stop"); } catch {}',
    ],
  ];
  for (const [name, code] of endings) {
    test(`the process ends: ${name}`, async (t) => {
      const folder = temporaryFolder(t);
      await writeClassFolders(join(folder, 'images'), { a: 20 });
      const script = `
        import { createLoader, openDataSet } from ${JSON.stringify(module)};
        const { train } = await openDataSet({ task: 'folder', root: ${JSON.stringify(join(folder, 'images'))} });
        const loader = await createLoader({ samples: train, mode: 'train', augmentation: 'resize-flip', imageSize: 64,
          batchSize: 2, seed: 0, workers: 2, cacheFolder: ${JSON.stringify(join(folder, 'cache'))} });
        ${code}
        console.log('end of script');`;
      writeFileSync(join(folder, 'script.mjs'), script);
      // A process that is kept alive is killed after the timeout, and execFile rejects.
      const run = promisify(execFile)(process.execPath, [join(folder, 'script.mjs')], { timeout: 60_000 });
      assert.equal((await run).stdout, 'end of script\n');
    });
  }

  test('a damaged cache is one UserError, whichever thread meets it', async (t) => {
    const root = temporaryFolder(t);
    await writeClassFolders(join(root, 'images'), { a: 20 });
    const { train } = await openDataSet({ task: 'folder', root: join(root, 'images') });
    const options = {
      samples: train,
      mode: 'train',
      augmentation: 'resize-flip',
      imageSize: 16,
      batchSize: 4,
      seed: 0,
      workers: 2,
      cacheFolder: join(root, 'cache'),
    } as const;
    await (await createLoader(options)).close();
    const loader = await createLoader(options);
    const folder = specFolder(options.cacheFolder, pixelSpec('resize-flip', 16));
    for (const name of listShards(folder))
      writeFileSync(join(folder, `${name}.pixels`), Buffer.alloc(16 * 16 * 3 * 16));
    await assert.rejects(collect(loader.epoch(0)), (error: unknown) => {
      assert.ok(error instanceof UserError, `${error}`);
      assert.match(error.message, /the pixel cache is damaged/);
      return true;
    });
    await loader.close();
  });
});
