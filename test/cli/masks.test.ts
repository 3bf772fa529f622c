import assert from 'node:assert/strict';
import fs, { cpSync, existsSync, mkdirSync, rmSync, utimesSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { main } from '../../src/cli/main.js';
import { ExitCode } from '../../src/errors.js';
import { randomBackbone, writeRun } from '../report/trainedRuns.js';
import { temporaryFolder, writeBareCheckpoint } from '../runs/fixtures.js';
import { fakeIo } from './fakeIo.js';

/** Runs `xbm masks …` in a folder. */
async function masks(cwd: string, ...args: string[]) {
  const io = fakeIo({ cwd });
  const exitCode = await main(['masks', ...args], io);
  return { exitCode, out: io.out(), err: io.err() };
}

const flowers = { task: 'flowers', accuracy: 80 } as const;

test('without --run: the newest run that has masks, though newer ones have none', async (t) => {
  const cwd = temporaryFolder(t);
  const older = await writeRun(cwd, randomBackbone(), { ...flowers, method: 'piggyback' });
  const wanted = await writeRun(cwd, randomBackbone(), { ...flowers, method: 'xbm' });
  const newest = await writeRun(cwd, randomBackbone(), { ...flowers, method: 'classifier' });
  for (const [seconds, run] of [older, wanted, newest].entries())
    utimesSync(join(run, 'summary.json'), seconds + 1, seconds + 1);
  for (const args of [[], ['--task', 'flowers']]) {
    const { exitCode, out, err } = await masks(cwd, ...args, '--json');
    assert.equal(exitCode, ExitCode.ok, err);
    assert.equal(JSON.parse(out).file, join(wanted, 'task.safetensors'));
  }
  const named = await masks(cwd, '--run', newest);
  assert.equal(named.exitCode, ExitCode.usage);
  assert.match(named.err, /method classifier has no masks/);
});

test('without a run that has masks, what there is is named, and how an unfinished run goes on', async (t) => {
  const cwd = temporaryFolder(t);
  await writeRun(cwd, randomBackbone(), { ...flowers, method: 'finetune' });
  const runs = join(cwd, 'results', 'runs');
  for (const args of [[], ['--task', 'flowers']]) {
    const { exitCode, err } = await masks(cwd, ...args);
    assert.equal(exitCode, ExitCode.usage);
    assert.equal(
      err,
      `xbm: no finished run${args.length > 0 ? ' of task flowers' : ''} with masks (method xbm or piggyback) in ${runs}, only flowers-finetune-72-32-s0 (finished)\n` +
        'Train one with `xbm train`, or name a run folder with --run.\n',
    );
  }
  const unfinished = join(runs, 'on-its-way');
  mkdirSync(unfinished);
  cpSync(join(runs, 'flowers-finetune-72-32-s0', 'config.yaml'), join(unfinished, 'config.yaml'));
  await writeBareCheckpoint(unfinished);
  const { exitCode, err } = await masks(cwd);
  assert.equal(exitCode, ExitCode.usage);
  assert.match(
    err,
    /only flowers-finetune-72-32-s0 \(finished\), on-its-way \(unfinished\)\n.*--resume.*--run/,
  );
  const named = await masks(cwd, '--run', unfinished);
  assert.equal(named.exitCode, ExitCode.usage);
  assert.match(named.err, /on-its-way: this run is not finished\n.*`xbm train` with the same .* --resume/);
});

test('--run and --task are refused together', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), { ...flowers, method: 'xbm' });
  const { exitCode, out, err } = await masks(cwd, '--run', run, '--task', 'flowers');
  assert.equal(exitCode, ExitCode.usage);
  assert.equal(out, '');
  assert.equal(err, 'xbm: --run and --task both name a run\nGive one of them.\n');
});

test('a run folder that takes no files is refused before anything is printed, with the option that helps', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), { ...flowers, method: 'xbm' });
  const access = fs.accessSync;
  t.after(() => {
    fs.accessSync = access;
    syncBuiltinESMExports();
  });
  // Root may write everywhere, and a test cannot mount: the system's answer is made up.
  for (const [code, problem] of [
    ['EROFS', 'the file system is read-only'],
    ['EACCES', 'no permission to write here'],
  ] as const) {
    fs.accessSync = (path, mode) => {
      if (path === run) throw Object.assign(new Error(code), { code });
      access(path, mode);
    };
    syncBuiltinESMExports();
    const { exitCode, out, err } = await masks(cwd, '--run', run);
    assert.equal(exitCode, ExitCode.usage);
    assert.equal(out, '');
    assert.equal(err, `xbm: ${run}: ${problem}\nChoose another place with --out.\n`);
    const elsewhere = join(cwd, 'masks.png');
    const drawn = await masks(cwd, '--run', run, '--out', elsewhere);
    assert.equal(drawn.exitCode, ExitCode.ok, drawn.err);
    assert.ok(existsSync(elsewhere));
    rmSync(elsewhere);
  }
});
