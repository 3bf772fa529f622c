import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { PlannedRun } from '../../src/reproduce/expand.js';
import { failureReason } from '../../src/reproduce/launchers/failureReason.js';
import { LOG_NAME } from '../../src/reproduce/launchers/launcher.js';
import { LocalLauncher, type LocalOptions } from '../../src/reproduce/launchers/local.js';
import { RunFolder } from '../../src/runs/runFolder.js';
import { folderWith, runsOf } from './fixtures.js';

/** Launches runs whose program is a shell script; `$FOLDER` is the run folder. */
function launch(script: string, count: number, options: Partial<LocalOptions> = {}, signal?: AbortSignal) {
  const seeds = Array.from({ length: count }, (_, i) => i).join(', ');
  const cwd = folderWith({ 'program.sh': `FOLDER="$4"\n${script}\n` });
  const runs = runsOf(`name: a\ntasks: [cubs]\nmethods: [xbm]\nseeds: [${seeds}]\n`, { cwd });
  const notes: string[] = [];
  const launcher = new LocalLauncher({
    jobs: 1,
    cwd,
    env: process.env,
    program: ['/bin/sh', join(cwd, 'program.sh')],
    ...options,
  });
  const ending = launcher.launch(runs, { onNote: (text) => notes.push(text) }, signal);
  return { cwd, runs, ending, notes };
}

const written = ({ folder }: PlannedRun, name: string) => readFileSync(join(folder, name), 'utf8').trim();

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await delay(10);
}

test('every run gets its resolved experiment, its folder and its part of the cores', async () => {
  const { runs, ending } = launch('echo "$@" > "$FOLDER/args"', 2, { jobs: 2, cores: 8 });
  assert.deepEqual(
    (await ending).map(({ ended }) => ended),
    ['finished', 'finished'],
  );
  for (const run of runs) {
    const config = join(run.folder, 'config.yaml');
    assert.equal(written(run, 'args'), `train ${config} --out ${run.folder} --resume --set threads=4`);
    assert.match(readFileSync(config, 'utf8'), new RegExp(`seed: ${run.seed}\\n`));
  }
});

test('as many processes at a time as jobs, each with a device of its own', async () => {
  const script =
    'touch "$FOLDER/up"; while [ ! -e go ]; do sleep 0.02; done; echo $CUDA_VISIBLE_DEVICES > "$FOLDER/gpu"';
  const { cwd, runs, ending } = launch(script, 3, { jobs: 2, gpus: ['4', '7'] });
  const up = () => runs.filter(({ folder }) => existsSync(join(folder, 'up'))).length;
  await until(() => up() === 2);
  await delay(100);
  assert.equal(up(), 2);
  writeFileSync(join(cwd, 'go'), '');
  assert.equal((await ending).length, 3);
  assert.deepEqual(
    runs
      .slice(0, 2)
      .map((run) => written(run, 'gpu'))
      .sort(),
    ['4', '7'],
  );
});

test('a run that fails does not stop the others and tells why', async () => {
  const script = `case "$FOLDER" in
    *-s0) echo 'xbm: no such thing' ; echo 'Make one.'; exit 2 ;;
    *-s1) kill -9 $$ ;;
  esac`;
  const { ending } = launch(script, 3);
  assert.deepEqual(
    (await ending).map((outcome) => (outcome.ended === 'failed' ? outcome.reason : outcome.ended)),
    ['no such thing. Make one.', 'killed by SIGKILL', 'finished'],
  );
});

test('stopping asks each process once and starts nothing more', async () => {
  const controller = new AbortController();
  const script =
    'trap "echo asked >> $FOLDER/asked" TERM; touch "$FOLDER/up"; while [ ! -e "$FOLDER/asked" ]; do sleep 0.02; done; sleep 0.2; exit 130';
  const { runs, ending } = launch(script, 3, { jobs: 2 }, controller.signal);
  await until(() => runs.slice(0, 2).every(({ folder }) => existsSync(join(folder, 'up'))));
  controller.abort();
  assert.deepEqual(
    (await ending).map(({ ended }) => ended),
    ['interrupted', 'interrupted'],
  );
  for (const run of runs.slice(0, 2)) assert.equal(written(run, 'asked'), 'asked');
  assert.equal(existsSync(runs[2].folder), false);
});

test('a run that another process still writes is waited for, then looked at again', async () => {
  const cwd = folderWith({});
  const [run] = runsOf('name: a\ntasks: [cubs]\nmethods: [xbm]\n', { cwd });
  const lock = new RunFolder(run.folder).lock();
  const notes: string[] = [];
  const launcher = new LocalLauncher({ jobs: 1, cwd, env: process.env, program: ['/bin/true'] });
  const ending = launcher.launch([run], { onNote: (text) => notes.push(text) });
  await until(() => notes.length > 0);
  assert.match(notes[0], /process \d+ is writing this run; waiting for it/);
  assert.equal(existsSync(join(run.folder, LOG_NAME)), false);
  lock.release();
  assert.deepEqual(await ending, [{ run, ended: 'finished' }]);
});

test('only a living writer is waited for: else the run fails with what to do, and the others go on', async () => {
  const cwd = folderWith({});
  const runs = runsOf('name: a\ntasks: [cubs]\nmethods: [xbm]\nseeds: [0, 1, 2]\n', { cwd });
  const [file, elsewhere, free] = runs;
  mkdirSync(elsewhere.folder, { recursive: true });
  writeFileSync(file.folder, '');
  const holder = { pid: 1, host: 'elsewhere', started: '1', token: 'x' };
  writeFileSync(join(elsewhere.folder, 'lock'), JSON.stringify(holder));
  const launcher = new LocalLauncher({ jobs: 1, cwd, env: process.env, program: ['/bin/true'] });
  const outcomes = await launcher.launch(runs, {});
  const [first, second] = outcomes.map((outcome) => (outcome.ended === 'failed' ? outcome.reason : ''));
  assert.match(first, /is a file, expected a folder\. Choose another folder\.$/);
  assert.match(
    second,
    /process 1 of elsewhere is writing this run\. If that process is gone, delete .*lock\.$/,
  );
  assert.deepEqual(outcomes[2], { run: free, ended: 'finished' });
});

test('cores are shared by the runs at a time, of which there may be fewer than jobs', async () => {
  const { runs, ending } = launch('echo "$@" > "$FOLDER/args"', 1, { jobs: 4, cores: 8 });
  await ending;
  assert.match(written(runs[0], 'args'), /threads=8$/);
});

test('a program that cannot be started is an error, not a hang', async () => {
  const { ending } = launch('', 1, { program: ['/nosuch/program'] });
  await assert.rejects(ending, /ENOENT/);
});

test('the reason of a failure is the last message of the log', () => {
  assert.equal(failureReason('', 'exit code 1'), 'exit code 1');
  assert.equal(
    failureReason('some words\n', 'killed by SIGSEGV'),
    'killed by SIGSEGV; its last line: some words',
  );
  assert.equal(failureReason('xbm: first\nxbm: second\nDo this.\n', ''), 'second. Do this.');
  assert.equal(failureReason('xbm: bad\nxbm: stopping; press Ctrl-C\n', ''), 'bad');
  const bug = 'xbm: unexpected error; this is a bug\nTypeError: x\n    at f (a.js:1:1)\n    at g\n';
  assert.equal(failureReason(bug, ''), 'unexpected error; this is a bug. TypeError: x');
});

test('a run folder gets its experiment and its log', async () => {
  const { runs, ending } = launch('echo hello', 1);
  await ending;
  assert.deepEqual(readdirSync(runs[0].folder).sort(), ['config.yaml', LOG_NAME]);
  assert.equal(written(runs[0], LOG_NAME), 'hello');
});
