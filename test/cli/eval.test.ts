import assert from 'node:assert/strict';
import fs, { rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { main } from '../../src/cli/main.js';
import { configHash } from '../../src/config/hash.js';
import { loadExperiment } from '../../src/config/load.js';
import { ExitCode } from '../../src/errors.js';
import { runName } from '../../src/runs/runFolder.js';
import { randomBackbone, writeRun } from '../report/trainedRuns.js';
import { temporaryFolder } from '../runs/fixtures.js';
import { fakeIo } from './fakeIo.js';

/** Runs `xbm eval …` in a folder; what it measures is tested in train.test.ts. */
async function evaluate(cwd: string, ...args: string[]) {
  const io = fakeIo({ cwd });
  const exitCode = await main(['eval', ...args], io);
  return { exitCode, out: io.out(), err: io.err() };
}

const flowers = { task: 'flowers', method: 'xbm', accuracy: 80 } as const;

test('--run and --task are refused together', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), flowers);
  for (const task of ['nope', 'flowers']) {
    const { exitCode, err } = await evaluate(cwd, '--run', run, '--task', task);
    assert.equal(exitCode, ExitCode.usage);
    assert.equal(err, 'xbm: --run and --task both name a run\nGive one of them.\n');
  }
});

test('an unfinished run is called that, by its folder and by its config; --resume continues it', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), flowers);
  rmSync(join(run, 'summary.json'));
  writeFileSync(join(run, 'checkpoint.safetensors'), '');
  const config = join(run, 'config.yaml');
  const experiment = loadExperiment({ config });
  const own = join(cwd, 'results', 'runs', runName(experiment, configHash(experiment)));
  fs.cpSync(run, own, { recursive: true });
  for (const [args, folder] of [
    [['--run', run], run],
    [[config], own],
  ] as const) {
    const { exitCode, err } = await evaluate(cwd, ...args);
    assert.equal(exitCode, ExitCode.usage);
    assert.equal(
      err,
      `xbm: ${folder}: this run is not finished\n` +
        'Let the unfinished run end, or continue it: `xbm train` with the same arguments and --resume.\n',
    );
  }
});

test('a folder that takes no files is refused before anything is measured, with the option that helps', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), flowers);
  const access = fs.accessSync;
  t.after(() => {
    fs.accessSync = access;
    syncBuiltinESMExports();
  });
  // Root may write everywhere, and a test cannot mount: the system's answer is made up.
  fs.accessSync = (path, mode) => {
    if (path === run) throw Object.assign(new Error('EROFS'), { code: 'EROFS' });
    access(path, mode);
  };
  syncBuiltinESMExports();
  const { exitCode, out, err } = await evaluate(cwd, '--run', run);
  assert.equal(exitCode, ExitCode.usage);
  assert.equal(out, '');
  assert.equal(err, `xbm: ${run}: the file system is read-only\nChoose another place with --out.\n`);
  const elsewhere = await evaluate(cwd, '--run', run, '--out', join(cwd, 'measured'));
  assert.match(elsewhere.err, /where are the images of task flowers\?/);
});
