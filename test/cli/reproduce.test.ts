import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { main } from '../../src/cli/main.js';
import { ExitCode } from '../../src/errors.js';
import { RunFolder } from '../../src/runs/runFolder.js';
import { fakeIo } from './fakeIo.js';
import { resultFiles, writeBackbone, writeSmallTask } from './smallTask.js';

const xbmProcess = fileURLToPath(new URL('./xbmProcess.js', import.meta.url));

describe('xbm reproduce', () => {
  let folder: string;

  async function xbm(args: readonly string[], io = fakeIo({ cwd: folder, env: process.env })) {
    const exitCode = await main(['reproduce', ...args], io);
    const lastLine = io.out().trim().split('\n').at(-1) ?? '';
    return { exitCode, out: io.out(), err: io.err(), json: () => JSON.parse(lastLine) };
  }

  const read = (...path: string[]) => readFileSync(join(folder, 'results', ...path), 'utf8');

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'xbm-reproduce-'));
    await writeSmallTask(folder);
    writeFileSync(
      join(folder, 'study.yaml'),
      `
name: study
tasks: [small]
methods: [xbm, piggyback]
experiment: "{task}.yaml"
seeds: [0, 1]
setByMethod: { piggyback: { training: { learningRate: { batchNorm: 1.0e+38 } } } }
runs: own
`,
    );
    writeFileSync(
      join(folder, 'again.yaml'),
      'name: again\ntasks: [small]\nmethods: [xbm]\nexperiment: "{task}.yaml"\nseeds: [0, 1]\nruns: own\n',
    );
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  test('plan, then work, then nothing left to do; a run that fails does not stop the others', async () => {
    const plan = await xbm(['study.yaml', '--dry-run', '--json']);
    assert.equal(plan.exitCode, ExitCode.ok, plan.err);
    assert.deepEqual(
      plan.json().runs.map((run: { state: string; seconds: null }) => [run.state, run.seconds]),
      Array(4).fill(['train', null]),
    );
    assert.equal(existsSync(join(folder, 'results')), false);

    const first = await xbm(['study.yaml', '--json', '--jobs', '2']);
    assert.equal(first.exitCode, ExitCode.failed, first.err);
    assert.match(first.err, /2 of 4 runs failed\nThe same command tries the failed runs again/);
    const { rows, missing } = first.json();
    assert.equal(rows.length, 1);
    assert.deepEqual([rows[0].task, rows[0].method, rows[0].seeds], ['small', 'xbm', [0, 1]]);
    assert.ok(rows[0].accuracy > 60 && rows[0].accuracyStandardDeviation !== null);
    assert.ok(rows[0].energy['nn-imc'].energyPerImageMicrojoules > 0);
    assert.deepEqual(
      missing.map(({ method, seed }: { method: string; seed: number }) => [method, seed]),
      [
        ['piggyback', 0],
        ['piggyback', 1],
      ],
    );
    assert.match(missing[0].reason, /^training diverged: .* Lower training.learningRate/);

    const second = await xbm(['study.yaml', '--dry-run', '--json']);
    const states = second.json().runs.map((run: { state: string }) => run.state);
    assert.deepEqual(states, ['done', 'done', 'train', 'train']);
    assert.ok(second.json().runs[2].seconds > 0, 'the time is known from the runs before');
  });

  test('two runs of one experiment give the same tables byte for byte; nothing is trained twice', async () => {
    const one = await xbm(['again.yaml']);
    assert.equal(one.exitCode, ExitCode.ok, one.err);
    assert.match(one.out, /small +xbm +\d+\.\d\d/);
    const names = ['summary.json', 'summary.csv', 'runs.parquet', 'report.html', 'report.json'];
    const bytes = () => names.map((name) => readFileSync(join(folder, 'results', 'again', name), 'hex'));
    const before = bytes();
    const timings = read('again', 'timings.json');
    const nothing = await xbm(['again.yaml']);
    assert.match(nothing.err, /again: 2 runs done, 0 to do/);
    assert.deepEqual([bytes(), read('again', 'timings.json')], [before, timings]);
    const forced = await xbm(['again.yaml', '--force', '--baseline', 'results/again/summary.json']);
    assert.equal(forced.exitCode, ExitCode.ok, forced.err);
    assert.match(forced.out, /nothing is worse than results\/again\/summary.json/);
    assert.deepEqual(bytes(), before);
    assert.notEqual(read('again', 'timings.json'), timings);
    assert.equal(existsSync(join(folder, 'results', 'again', 'lock')), false);
  });

  for (const [how, exitCode] of [
    ['SIGKILL', null],
    ['SIGTERM', ExitCode.interrupted],
  ] as const) {
    test(`stopped by ${how} mid-run, the same command continues to the same tables`, async () => {
      const study = `stopped-${how.toLowerCase()}`;
      const text = readFileSync(join(folder, 'again.yaml'), 'utf8').replace(
        'name: again',
        `name: ${study}\ntitle: again`,
      );
      writeFileSync(join(folder, `${study}.yaml`), text);
      const child = spawn(process.execPath, [xbmProcess, 'reproduce', `${study}.yaml`], { cwd: folder });
      const exited = once(child, 'exit');
      const runs = join(folder, 'results', study, 'runs');
      const isTraining = () =>
        existsSync(runs) &&
        readdirSync(runs).some((run) => existsSync(join(runs, run, 'checkpoint.safetensors')));
      while (!isTraining() && child.exitCode === null) await delay(5);
      child.kill(how);
      assert.equal((await exited)[0], exitCode);
      assert.equal(existsSync(join(folder, 'results', study, 'summary.json')), false);
      const continued = await xbm([`${study}.yaml`]);
      assert.equal(continued.exitCode, ExitCode.ok, continued.err);
      const tables = (name: string) => read(name, 'summary.csv');
      assert.equal(tables(study), tables('again'));
      for (const run of readdirSync(runs)) {
        assert.deepEqual(
          resultFiles(join(runs, run)),
          resultFiles(join(folder, 'results', 'again', 'runs', run)),
        );
      }
    });
  }

  test('a run that another process writes is waited for, whatever its files look like meanwhile', async () => {
    writeFileSync(
      join(folder, 'written.yaml'),
      readFileSync(join(folder, 'again.yaml'), 'utf8').replace('name: again', 'name: written'),
    );
    const finished = join(folder, 'results', 'again', 'runs');
    const [name] = readdirSync(finished).sort();
    const run = new RunFolder(join(folder, 'results', 'written', 'runs', name));
    const lock = run.lock();
    writeFileSync(run.checkpoint, 'no checkpoint');
    const io = fakeIo({ cwd: folder, env: process.env });
    const reproduced = xbm(['written.yaml'], io);
    while (!io.err().includes('waiting for it')) {
      await Promise.race([delay(5), reproduced.then(({ err }) => assert.fail(err))]);
    }
    assert.equal(readFileSync(run.checkpoint, 'utf8'), 'no checkpoint');
    rmSync(run.checkpoint);
    cpSync(join(finished, name), run.path, { recursive: true });
    lock.release();
    const { exitCode, err } = await reproduced;
    assert.equal(exitCode, ExitCode.ok, err);
    assert.equal(read('written', 'summary.csv'), read('again', 'summary.csv'));
  });

  test('a result worse than the baseline fails and is named', async () => {
    const summary = JSON.parse(read('again', 'summary.json'));
    summary.rows[0].energy['nn-imc'].energyPerImageMicrojoules *= 0.9;
    writeFileSync(join(folder, 'baseline.json'), JSON.stringify(summary));
    const worse = await xbm(['again.yaml', '--json', '--baseline', 'baseline.json']);
    assert.equal(worse.exitCode, ExitCode.failed);
    assert.match(worse.json().baseline.worse[0], /small xbm: energy per image on nn-imc rose from/);
    const tolerated = await xbm(['again.yaml', '--baseline', 'baseline.json', '--tolerance', '15']);
    assert.equal(tolerated.exitCode, ExitCode.ok, tolerated.err);
    const absent = await xbm(['again.yaml', '--baseline', 'nosuch.json']);
    assert.equal(absent.exitCode, ExitCode.usage);
    writeFileSync(join(folder, 'wrong.json'), '{}');
    const wrong = await xbm(['again.yaml', '--baseline', 'wrong.json']);
    assert.match(wrong.err, /wrong.json: no summary of xbm reproduce: rows/);
  });

  test('a report of other runs is not overwritten without a word', async () => {
    const before = read('again', 'summary.json');
    const other = ['again.yaml', '--set', 'training.epochs=1'];
    const refused = await xbm(other);
    assert.equal(refused.exitCode, ExitCode.usage);
    assert.match(
      refused.err,
      /again holds a report with runs that are not in this plan: 2 of them, as small-xbm-/,
    );
    assert.match(refused.err, /--name.*--replace/);
    const planned = await xbm([...other, '--dry-run']);
    assert.equal(planned.exitCode, ExitCode.ok, planned.err);
    assert.match(planned.err, /not in this plan/);
    const named = await xbm([...other, '--name', 'other']);
    assert.equal(named.exitCode, ExitCode.ok, named.err);
    assert.match(read('other', 'report.html'), /again\.yaml --set training\.epochs=1 --name other/);
    assert.equal(read('again', 'summary.json'), before);
    // More seeds lose nothing; fewer do.
    const text = readFileSync(join(folder, 'again.yaml'), 'utf8');
    writeFileSync(
      join(folder, 'one.yaml'),
      text.replace('[0, 1]', '[1]').replace('name: again', 'name: other'),
    );
    const set = ['--set', 'training.epochs=1'];
    assert.equal((await xbm(['one.yaml', ...set])).exitCode, ExitCode.usage);
    const replaced = await xbm(['one.yaml', ...set, '--replace']);
    assert.equal(replaced.exitCode, ExitCode.ok, replaced.err);
    const grown = await xbm([...other, '--name', 'other']);
    assert.equal(grown.exitCode, ExitCode.ok, grown.err);
    assert.equal((await xbm(['again.yaml', '--name', '../x'])).exitCode, ExitCode.usage);
  });

  test('files of something else in the results folder stay without --replace', async () => {
    const chip = join(folder, 'results', 'chip');
    mkdirSync(join(chip, 'tables'), { recursive: true });
    const files = { 'report.md': 'a hardware report', [join('tables', 'own.csv')]: 'a,b' };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(chip, name), text);
    const refused = await xbm(['again.yaml', '--name', 'chip']);
    assert.equal(refused.exitCode, ExitCode.usage);
    assert.match(refused.err, /chip holds no reproduction's report, but report\.md, tables\/own\.csv\n/);
    assert.match(refused.err, /--name.*--replace/);
    for (const [name, text] of Object.entries(files))
      assert.equal(readFileSync(join(chip, name), 'utf8'), text);
    const replaced = await xbm(['again.yaml', '--name', 'chip', '--replace']);
    assert.equal(replaced.exitCode, ExitCode.ok, replaced.err);
    assert.match(read('chip', 'report.md'), /^# /);
    assert.ok(!existsSync(join(chip, 'tables', 'own.csv')));
  });

  test('where no data set can be used, nothing starts, and the reason is given once', async () => {
    cpSync(join(folder, 'images', 'blue'), join(folder, 'lone', 'blue'), { recursive: true });
    const data = ['--set', 'data.root=lone'];
    const refusal =
      'xbm: none of the 2 runs can start: .*lone has a single class \\(blue\\): there is nothing to tell apart\n' +
      'Give each class a folder of its own; see datasets.md.\n$';
    const start = await xbm(['again.yaml', '--name', 'lone', ...data]);
    assert.equal(start.exitCode, ExitCode.usage);
    assert.match(start.err, new RegExp(`^${refusal}`));
    assert.equal(existsSync(join(folder, 'results', 'lone')), false);
    const plan = await xbm(['again.yaml', '--name', 'lone', ...data, '--dry-run', '--json']);
    assert.equal(plan.exitCode, ExitCode.usage);
    assert.match(plan.err, new RegExp(refusal));
    assert.equal(plan.json().missing, 2);
    for (const split of ['train', 'test'])
      cpSync(join(folder, 'images'), join(folder, 'lacking', split), { recursive: true });
    rmSync(join(folder, 'lacking', 'test', 'red'), { recursive: true });
    const lacking = await xbm(['again.yaml', '--name', 'lone', '--set', 'data.root=lacking', '--dry-run']);
    assert.equal(lacking.exitCode, ExitCode.usage);
    assert.match(lacking.err, /none of the 2 runs can start: .*lacking: class red has no test images\n/);
    // Nothing that is there is lost for it, and what is there can be reported.
    const before = read('again', 'summary.json');
    const forced = await xbm(['again.yaml', '--force', ...data]);
    assert.equal(forced.exitCode, ExitCode.usage, forced.err);
    const reported = await xbm(['again.yaml', ...data]);
    assert.equal(reported.exitCode, ExitCode.ok, reported.err);
    assert.equal(read('again', 'summary.json'), before);
    // Elsewhere there may be images: Slurm's nodes have their own disks, and published sizes make a plan.
    const cluster = await xbm(['again.yaml', '--name', 'lone', ...data, '--dry-run', '--launcher', 'slurm']);
    assert.equal(cluster.exitCode, ExitCode.ok, cluster.err);
    const io = fakeIo({ cwd: folder, env: {} });
    const published = await xbm(['paper', '--dry-run'], io);
    assert.equal(published.exitCode, ExitCode.ok, published.err);
  });

  test('options that would change nothing are refused', async () => {
    for (const [args, message] of [
      [['--tolerance', '1'], /--tolerance has no meaning without --baseline/],
      [['--poll', '5'], /--poll has no meaning without --launcher slurm/],
      [['--sbatch=--time=1'], /--sbatch has no meaning without --launcher slurm/],
      [['--launcher', 'slurm', '--gpus', '0'], /--gpus has no meaning without --launcher local/],
      [
        ['--gpus', '0', '--set', 'engine=auto'],
        /only engine tfjs computes with CUDA; .* has engine auto\n.*engine=tfjs/,
      ],
    ] as const) {
      const { exitCode, err } = await xbm(['again.yaml', '--dry-run', ...args]);
      assert.equal(exitCode, ExitCode.usage);
      assert.match(err, message);
    }
  });

  test('results are not reported for a backbone that has become another', async () => {
    const file = join(folder, 'backbone.safetensors');
    const own = readFileSync(file);
    const before = read('again', 'summary.json');
    await writeBackbone(file, 2);
    for (const flags of [[], ['--dry-run']]) {
      const { exitCode, err } = await xbm(['again.yaml', ...flags]);
      assert.equal(exitCode, ExitCode.usage, err);
      assert.match(
        err,
        /small-xbm-.*: this finished run was trained on other files: it was trained on backbone/,
      );
      for (const seed of [0, 1])
        assert.match(err, new RegExp(`-s${seed}: this finished run`), 'all are named');
    }
    assert.equal(read('again', 'summary.json'), before);
    writeFileSync(file, own);
    const { exitCode, err } = await xbm(['again.yaml']);
    assert.equal(exitCode, ExitCode.ok, err);
  });

  test('what a run folder holds but cannot be used is trained again', async () => {
    const runs = join(folder, 'results', 'again', 'runs');
    const [name] = readdirSync(runs);
    const whole = readFileSync(join(runs, name, 'summary.json'), 'utf8');
    writeFileSync(join(runs, name, 'summary.json'), '{');
    const plan = await xbm(['again.yaml', '--dry-run']);
    assert.match(plan.out, /train again/);
    assert.match(plan.out, /summary.json: not JSON/);
    const repaired = await xbm(['again.yaml']);
    assert.equal(repaired.exitCode, ExitCode.ok, repaired.err);
    assert.equal(readFileSync(join(runs, name, 'summary.json'), 'utf8'), whole);
  });
});
