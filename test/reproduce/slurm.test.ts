/** @file The Slurm launcher against a real Slurm: `npm run test:slurm`. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { packageRoot } from '../../src/paths.js';
import { expandRuns, type PlannedRun } from '../../src/reproduce/expand.js';
import { SlurmLauncher } from '../../src/reproduce/launchers/slurm.js';
import { slurmCommands } from '../../src/reproduce/launchers/slurmQueue.js';
import { loadReproduction } from '../../src/reproduce/reproductionFile.js';
import { writeSmallTask } from '../cli/smallTask.js';
import { runsOf } from './fixtures.js';
import { SlurmCluster, slurmMissing } from './slurmCluster.js';

const xbmFile = join(packageRoot(), 'bin', 'xbm.js');

const skip = process.env.XBM_TEST_SLURM
  ? (slurmMissing() ?? false)
  : 'starts Slurm’s daemons: npm run test:slurm';

describe('a real Slurm', { skip, timeout: 300_000 }, () => {
  let cluster: SlurmCluster;
  let folder: string;

  before(async () => {
    cluster = await SlurmCluster.start();
    folder = mkdtempSync(join(tmpdir(), 'xbm-slurm-study-'));
    await writeSmallTask(folder);
    for (const name of ['local', 'plain', 'watcher']) {
      writeFileSync(
        join(folder, `${name}.yaml`),
        `name: ${name}\ntitle: study\ntasks: [small]\nmethods: [xbm, finetune]\nexperiment: "{task}.yaml"\nseeds: [0, 1]\nruns: own\n`,
      );
    }
    assert.equal((await xbm('local', 'local')).exitCode, 0);
  });

  after(async () => {
    await cluster?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  function start(
    study: string,
    launcher: string,
  ): { child: ChildProcess; ended: Promise<{ exitCode: number | null; err: string }> } {
    const args = ['reproduce', `${study}.yaml`, '--launcher', launcher, '--json'];
    const poll = launcher === 'slurm' ? ['--poll', '0.3'] : [];
    const child = spawn(process.execPath, [xbmFile, ...args, ...poll], {
      cwd: folder,
      env: cluster.env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let err = '';
    child.stderr!.on('data', (text) => {
      err += text;
    });
    return { child, ended: once(child, 'exit').then(([exitCode]) => ({ exitCode, err })) };
  }

  const xbm = (study: string, launcher: string) => start(study, launcher).ended;

  /** What must be equal wherever and however often it ran, but for the study's own name. */
  const tables = (study: string) =>
    ['summary.json', 'summary.csv'].map((name) =>
      readFileSync(join(folder, 'results', study, name), 'utf8').replace(`"name": "${study}"`, ''),
    );

  const jobs = (study: string): { runs: string[] }[] =>
    JSON.parse(readFileSync(join(folder, 'results', study, 'slurm', 'jobs.json'), 'utf8')).jobs;

  const launcherFor = (cwd: string, program: readonly string[]) =>
    new SlurmLauncher({
      name: 'test',
      folder: join(cwd, 'slurm'),
      cwd,
      command: slurmCommands(cluster.env),
      limit: null,
      sbatch: [],
      retries: 1,
      pollSeconds: 0.3,
      program,
    });

  async function until(holds: () => boolean): Promise<void> {
    for (const end = Date.now() + 60_000; !holds(); await delay(50)) {
      if (Date.now() > end) throw new Error(`waited a minute\n${cluster.logs()}`);
    }
  }

  /** Some run has written a checkpoint. */
  const training = (study: string) => (): boolean => {
    const runs = join(folder, 'results', study, 'runs');
    return (
      existsSync(runs) &&
      readdirSync(runs).some((run) => existsSync(join(runs, run, 'checkpoint.safetensors')))
    );
  };

  test('one job array gives the tables of a local reproduction, byte for byte', async () => {
    const { exitCode, err } = await xbm('plain', 'slurm');
    assert.equal(exitCode, 0, err + cluster.logs());
    assert.match(err, /submitted 4 runs as xbm-plain-[0-9a-f]{8}/);
    assert.deepEqual(tables('plain'), tables('local'));
    assert.equal(jobs('plain').length, 1);
  });

  test('killing Slurm’s controller mid-run loses nothing', async () => {
    const cwd = mkdtempSync(join(folder, 'controller-'));
    const source = loadReproduction('local.yaml', folder);
    const runs = expandRuns(source, { cwd });
    const program = join(cwd, 'slow.sh');
    writeFileSync(program, `touch "$4/up"; sleep 9; exec '${process.execPath}' '${xbmFile}' "$@"\n`);
    const notes: string[] = [];
    const ending = launcherFor(cwd, ['/bin/bash', program]).launch(runs, {
      onNote: (text) => notes.push(text),
    });
    await until(() => runs.slice(0, 2).every((run) => existsSync(join(run.folder, 'up'))));
    await cluster.killController();
    await delay(1500);
    await cluster.startController();
    const outcomes = await ending;
    assert.deepEqual(
      outcomes.map(({ ended }) => ended),
      runs.map(() => 'finished'),
      notes.join('\n') + cluster.logs(),
    );
    // Whether the launcher asks while the controller is away is chance; that says so, and nothing else.
    const submissions = notes.filter((note) => !/^Slurm (does not answer|answers again)/.test(note));
    assert.equal(submissions.length, 1, `submitted once, and nothing again: ${notes.join('; ')}`);
    for (const run of runs) {
      const summary = (path: string) => readFileSync(join(path, run.name, 'summary.json'), 'utf8');
      assert.equal(summary(dirname(run.folder)), summary(join(folder, 'results', 'local', 'runs')));
    }
  });

  test('killing xbm reproduce mid-run loses nothing: the same command adopts the jobs', async () => {
    const { child, ended } = start('watcher', 'slurm');
    await until(training('watcher'));
    child.kill('SIGKILL');
    await ended;
    const { exitCode, err } = await xbm('watcher', 'slurm');
    assert.equal(exitCode, 0, err + cluster.logs());
    assert.deepEqual(tables('watcher'), tables('local'));
    assert.equal(jobs('watcher').length, 1);
  });

  describe('ends of a run', () => {
    let run: PlannedRun;

    /** Launches one run whose program is a shell script; `$FOLDER` is the run folder. */
    async function launch(script: string) {
      const cwd = mkdtempSync(join(folder, 'ends-'));
      [run] = runsOf('name: a\ntasks: [cubs]\nmethods: [xbm]\n', { cwd });
      const file = join(cwd, 'program.sh');
      writeFileSync(file, `FOLDER="$4"\n${script}\n`);
      const [outcome] = await launcherFor(cwd, ['/bin/bash', file]).launch([run], {});
      return outcome;
    }

    test('a run killed once is submitted again', async () => {
      const outcome = await launch('[ -e "$FOLDER/once" ] && exit 0; touch "$FOLDER/once"; kill -9 $$');
      assert.equal(outcome.ended, 'finished');
    });

    test('a run killed again and again ends with a reason', async () => {
      const outcome = await launch('kill -9 $$');
      assert.ok(outcome.ended === 'failed');
      assert.match(outcome.reason, /exit code 137; 2 submissions got no further/);
    });

    test('bad input is not submitted again', async () => {
      const outcome = await launch('echo "xbm: no such backbone"; echo x >> "$FOLDER/starts"; exit 2');
      assert.deepEqual(outcome, { run, ended: 'failed', reason: 'no such backbone' });
      assert.equal(readFileSync(join(run.folder, 'starts'), 'utf8'), 'x\n');
    });

    test('SIGTERM, as before a time limit, reaches the run, which is submitted again', async () => {
      const ending = launch(
        '[ -e "$FOLDER/saved" ] && exit 0; trap "touch $FOLDER/saved; exit 130" TERM; touch "$FOLDER/up"; while :; do sleep 0.1; done',
      );
      await until(() => run !== undefined && existsSync(join(run.folder, 'up')));
      cluster.run('scancel', ['--batch', '--signal=TERM', `--name=${jobName()}`]);
      assert.equal((await ending).ended, 'finished');
      assert.ok(existsSync(join(run.folder, 'saved')));
    });

    test('a job that somebody cancels stays cancelled', async () => {
      const ending = launch('touch "$FOLDER/up"; sleep 60');
      await until(() => run !== undefined && existsSync(join(run.folder, 'up')));
      cluster.run('scancel', [`--name=${jobName()}`]);
      const outcome = await ending;
      assert.deepEqual(outcome, { run, ended: 'failed', reason: 'cancelled in Slurm' });
    });

    function jobName(): string {
      const state = join(run.folder, '..', '..', '..', 'slurm', 'jobs.json');
      return JSON.parse(readFileSync(state, 'utf8')).jobs.at(-1).name;
    }
  });
});
