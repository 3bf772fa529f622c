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
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { main } from '../../src/cli/main.js';
import { ExitCode } from '../../src/errors.js';
import { fileSha256 } from '../../src/model/hash.js';
import { buildNetwork } from '../../src/model/networks.js';
import { backboneFolder, backbonePath, saveBackbone } from '../../src/model/store.js';
import { randomBackbone } from '../../src/training/randomBackbone.js';
import { fakeIo } from './fakeIo.js';
import { resultFiles, writeBackbone, writeSmallImages, writeSmallTask } from './smallTask.js';

const xbmProcess = fileURLToPath(new URL('./xbmProcess.js', import.meta.url));

/** Lines of a run's metrics.jsonl. */
function recorded(run: string): number {
  const metrics = join(run, 'metrics.jsonl');
  return existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n').length - 1 : 0;
}

describe('xbm train, eval and masks', () => {
  let folder: string;
  let config: string;
  const home = process.env.XBM_HOME;
  /** An uninterrupted run of each method. */
  const whole = (method: string) => join(folder, `whole-${method}`);

  async function xbm(args: readonly string[], io = fakeIo({ cwd: folder })) {
    const exitCode = await main([...args], io);
    const lastLine = io.out().trim().split('\n').at(-1) ?? '';
    return { exitCode, out: io.out(), err: io.err(), json: () => JSON.parse(lastLine) };
  }

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'xbm-train-'));
    process.env.XBM_HOME = join(folder, 'home');
    config = await writeSmallTask(folder);
    for (const method of ['xbm', 'finetune']) {
      const { exitCode, err } = await xbm(['train', config, '--method', method, '--out', whole(method)]);
      assert.equal(exitCode, ExitCode.ok, err);
    }
  });

  after(() => {
    if (home === undefined) delete process.env.XBM_HOME;
    else process.env.XBM_HOME = home;
    rmSync(folder, { recursive: true, force: true });
  });

  test('a trained task without its summary, or beside another run’s, is not taken for this run’s, nor replaced', async () => {
    const run = join(folder, 'copied');
    cpSync(whole('xbm'), run, { recursive: true });
    rmSync(join(run, 'summary.json'));
    const task = readFileSync(join(run, 'task.safetensors'));
    for (const more of [[], ['--resume'], ['--set', 'training.seed=5']]) {
      const { exitCode, err } = await xbm(['train', config, '--out', run, ...more]);
      assert.equal(exitCode, ExitCode.usage, err);
      assert.match(err, /copied: holds a trained task \(task\.safetensors\), but neither summary\.json nor/);
      assert.match(err, /--force/);
      assert.deepEqual(readFileSync(join(run, 'task.safetensors')), task);
    }
    rmSync(run, { recursive: true });
    cpSync(whole('xbm'), run, { recursive: true });
    cpSync(join(whole('finetune'), 'task.safetensors'), join(run, 'task.safetensors'));
    for (const command of [
      ['train', config, '--out', run],
      ['hw-report', '--run', run],
      ['eval', '--run', run],
      ['masks', '--run', run],
    ]) {
      const { exitCode, err } = await xbm(command);
      assert.equal(exitCode, ExitCode.usage, err);
      assert.match(
        err,
        /task\.safetensors: is of another run: its config is [0-9a-f]{8}, that of summary\.json [0-9a-f]{8}/,
      );
    }
    rmSync(run, { recursive: true });
  });

  test('fine-tuning says how many weights have other levels, and warns where next to none has', async () => {
    const finished = await xbm(['train', config, '--method', 'finetune', '--out', whole('finetune')]);
    assert.match(finished.out, /^other levels +\d+\.\d\d % of \d+ weights$/m);
    assert.doesNotMatch(finished.err, /have kept their levels/);
    const still = ['--set', 'training.learningRate.weights=1e-9', '--set', 'training.epochs=1'];
    const { exitCode, out, err } = await xbm(['train', config, '--method', 'finetune', ...still]);
    assert.equal(exitCode, ExitCode.ok, err);
    assert.match(out, /^other levels +0\.00 % of/m);
    assert.match(err, /Note: nearly all weights have kept their levels.*xbm backbone info/);
  });

  test('a run learns, and its JSON is stdout’s last line', async () => {
    const result = await xbm(['train', config, '--json']);
    assert.equal(result.exitCode, ExitCode.ok, result.err);
    const { accuracy, shareOff, maskBytes, maskBits, folder: run, timings } = result.json();
    assert.ok(accuracy > 60, `accuracy ${accuracy}`);
    assert.ok(shareOff > 0 && shareOff < 100);
    assert.equal(maskBits, 1136);
    assert.equal(maskBytes, 142);
    assert.ok(timings.trainingSeconds > 0);
    assert.match(run, /results.runs.small-xbm-[0-9a-f]{8}-s0$/);
    assert.deepEqual(resultFiles(run), resultFiles(whole('xbm')));
    assert.equal(existsSync(join(run, 'lock')), false);
    assert.match(result.err, /^engine onnx: ONNX Runtime/m);
    assert.match(result.err, /small xbm: 137\/137 images/);
  });

  test('a finished run is not trained again, unless forced', async () => {
    const before = readFileSync(join(whole('xbm'), 'timings.json'), 'utf8');
    const again = await xbm(['train', config, '--out', whole('xbm'), '--json']);
    assert.equal(again.exitCode, ExitCode.ok);
    assert.match(again.err, /this run is finished; --force trains it anew/);
    assert.equal(
      again.json().accuracy,
      JSON.parse(readFileSync(join(whole('xbm'), 'summary.json'), 'utf8')).accuracy,
    );
    assert.equal(readFileSync(join(whole('xbm'), 'timings.json'), 'utf8'), before);
    const files = resultFiles(whole('xbm'));
    const forced = await xbm(['train', config, '--out', whole('xbm'), '--force']);
    assert.equal(forced.exitCode, ExitCode.ok, forced.err);
    assert.match(forced.out, /accuracy +\d+\.\d\d % of 9 test images/);
    assert.deepEqual(resultFiles(whole('xbm')), files);
    const other = await xbm(['train', config, '--out', whole('xbm'), '--set', 'training.seed=1']);
    assert.equal(other.exitCode, ExitCode.usage);
    assert.match(other.err, /finished run of another experiment/);
  });

  test('files of other people are not replaced by a run, unless forced', async () => {
    const run = join(folder, 'theirs');
    const theirs = [
      'config.yaml',
      'environment.json',
      'events.out.tfevents.1.host',
      'metrics.jsonl',
      'x.tmp',
    ];
    mkdirSync(run);
    for (const name of theirs) writeFileSync(join(run, name), 'theirs: true\n');
    const args = ['train', config, '--out', run, '--set', 'training.epochs=1'];
    for (const more of [[], ['--resume']]) {
      const refused = await xbm([...args, ...more]);
      assert.equal(refused.exitCode, ExitCode.usage, refused.err);
      assert.match(
        refused.err,
        /theirs: is no run folder .*, but holds config.yaml, environment.json, metrics.jsonl\n.*--out, or add --force/,
      );
      assert.deepEqual(readdirSync(run).sort(), theirs);
    }
    const forced = await xbm([...args, '--force']);
    assert.equal(forced.exitCode, ExitCode.ok, forced.err);
    const left = theirs.filter((name) => readFileSync(join(run, name), 'utf8') === 'theirs: true\n');
    assert.deepEqual(left, ['events.out.tfevents.1.host', 'x.tmp']);
  });

  test('a finished run on one unnamed folder of images does not answer for another', async () => {
    const args = ['train', config, '--set', 'name=null', '--set', 'training.epochs=1'];
    const first = await xbm(args);
    assert.equal(first.exitCode, ExitCode.ok, first.err);
    assert.match((await xbm(args)).err, /this run is finished/);
    const other = await xbm([...args, '--set', 'data.root=elsewhere']);
    assert.equal(other.exitCode, ExitCode.usage);
    assert.match(other.err, /finished run on the images of .*, not .*elsewhere\nName the experiment/);
  });

  test('a finished run does not answer for another backbone or other images of the same names', async () => {
    const finished = (...set: string[]) =>
      xbm(['train', config, '--out', whole('xbm'), ...set.flatMap((text) => ['--set', text])]);
    const elsewhere = join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    await writeBackbone(join(elsewhere, 'backbone.safetensors'), 2);
    await writeSmallImages(join(elsewhere, 'images'), 1);
    const files = resultFiles(whole('xbm'));
    const refused = await finished(
      'backbone.weights=elsewhere/backbone.safetensors',
      'data.root=elsewhere/images',
    );
    assert.equal(refused.exitCode, ExitCode.usage, refused.err);
    assert.ok(refused.err.includes(`${whole('xbm')}: this finished run was trained on other files: `));
    assert.match(
      refused.err,
      /on backbone [0-9a-f]{12}…, .*elsewhere.backbone.safetensors is [0-9a-f]{12}…; /,
    );
    assert.match(refused.err, /other training images .* and other test images .*\nGive the files .*--force/);
    assert.deepEqual(resultFiles(whole('xbm')), files);

    rmSync(elsewhere, { recursive: true });
    mkdirSync(elsewhere);
    cpSync(join(folder, 'backbone.safetensors'), join(elsewhere, 'backbone.safetensors'));
    cpSync(join(folder, 'images'), join(elsewhere, 'images'), { recursive: true });
    const moved = await finished(
      'backbone.weights=elsewhere/backbone.safetensors',
      'data.root=elsewhere/images',
    );
    assert.equal(moved.exitCode, ExitCode.ok, moved.err);

    const absent = await finished('backbone.weights=gone/backbone.safetensors', 'data.root=gone');
    assert.equal(absent.exitCode, ExitCode.ok, absent.err);
    assert.match(absent.err, /its images could not be compared: .*gone/);
    assert.match(absent.err, /its backbone could not be compared: .*no such file/);
  });

  for (const method of ['xbm', 'finetune']) {
    test(`${method}: killed with SIGKILL and resumed, a run ends in the same bytes`, async () => {
      const run = join(folder, `killed-${method}`);
      const args = ['train', config, '--method', method, '--out', run];
      const child = spawn(process.execPath, [xbmProcess, ...args], { cwd: folder });
      const exited = once(child, 'exit');
      let messages = '';
      child.stderr.on('data', (text) => {
        messages += text;
      });
      while (recorded(run) < 7 && child.exitCode === null)
        await new Promise((resolve) => setTimeout(resolve, 5));
      child.kill('SIGKILL');
      await exited;
      assert.equal(child.signalCode, 'SIGKILL', messages);
      const refused = await xbm(['train', config, '--method', method, '--out', run]);
      assert.equal(refused.exitCode, ExitCode.usage);
      assert.match(refused.err, /not finished\nAdd --resume/);
      const resumed = await xbm(['train', config, '--method', method, '--out', run, '--resume']);
      assert.equal(resumed.exitCode, ExitCode.ok, resumed.err);
      assert.doesNotMatch(resumed.err, /goes on with/);
      assert.deepEqual(resultFiles(run), resultFiles(whole(method)));
      assert.equal(JSON.parse(readFileSync(join(run, 'environment.json'), 'utf8')).starts.length, 2);
    });
  }

  test('Ctrl-C finishes the step, keeps a checkpoint and says how to go on', async () => {
    const run = join(folder, 'interrupted');
    const controller = new AbortController();
    const watch = setInterval(() => recorded(run) >= 3 && controller.abort(), 2);
    const io = fakeIo({ cwd: folder, signal: controller.signal });
    const stopped = await xbm(['train', config, '--out', run], io);
    clearInterval(watch);
    assert.equal(stopped.exitCode, ExitCode.interrupted, stopped.err);
    assert.match(stopped.err, /interrupted after step \d+ of 16; everything is saved in .*\n.*--resume/);
    const environment = join(run, 'environment.json');
    const { starts } = JSON.parse(readFileSync(environment, 'utf8'));
    writeFileSync(environment, JSON.stringify({ starts: [{ ...starts[0], processor: 'Z80' }] }));
    const resumed = await xbm(['train', config, '--out', run, '--resume']);
    assert.equal(resumed.exitCode, ExitCode.ok, resumed.err);
    assert.match(
      resumed.err,
      /interrupted: goes on with .*; so far it was .*, on Z80: the results may differ/,
    );
    assert.deepEqual(resultFiles(run), resultFiles(whole('xbm')));
  });

  test('a run goes on with the backbone in its checkpoint, though calibration would make another now', async () => {
    const run = join(folder, 'calibrated');
    const float = join(folder, 'float', 'weights.safetensors');
    const quantised = join(folder, 'quantised', 'weights.safetensors');
    for (const file of [float, quantised]) mkdirSync(dirname(file));
    const random = randomBackbone(buildNetwork('cifar-resnet8', 10), 1);
    await saveBackbone(float, random, { sourceSha256: '', calibration: '' });
    const { sha256 } = await writeBackbone(quantised, 3, await fileSha256(float));
    mkdirSync(backboneFolder(), { recursive: true });
    cpSync(quantised, backbonePath('made-before'));
    const train = (weights: string, io = fakeIo({ cwd: folder }), ...more: string[]) =>
      xbm(['train', config, '--out', run, '--set', `backbone.weights=${weights}`, ...more], io);
    const stop = new AbortController();
    const watch = setInterval(() => recorded(run) >= 3 && stop.abort(), 2);
    const stopped = await train(quantised, fakeIo({ cwd: folder, signal: stop.signal }));
    clearInterval(watch);
    assert.equal(stopped.exitCode, ExitCode.interrupted, stopped.err);
    const resumed = await train(float, undefined, '--resume', '--json');
    assert.equal(resumed.exitCode, ExitCode.ok, resumed.err);
    assert.equal(resumed.json().backboneSha256, sha256);
  });

  test('a run that another process writes is left alone', async () => {
    const run = join(folder, 'locked');
    const { RunFolder } = await import('../../src/runs/runFolder.js');
    const lock = new RunFolder(run).lock();
    const { exitCode, err } = await xbm(['train', config, '--out', run]);
    lock.release();
    assert.equal(exitCode, ExitCode.unavailable);
    assert.match(err, new RegExp(`process ${process.pid} is writing this run`));
  });

  test('eval measures what train measured, from the task file and the backbone it names', async () => {
    const summary = JSON.parse(readFileSync(join(whole('finetune'), 'summary.json'), 'utf8'));
    const { exitCode, err, json } = await xbm(['eval', '--run', whole('finetune'), '--json']);
    assert.equal(exitCode, ExitCode.ok, err);
    const result = json();
    assert.equal(result.accuracy, summary.accuracy);
    assert.equal(result.loss, summary.loss);
    assert.equal(result.shareOff, 0);
    const [header, ...rows] = readFileSync(result.confusion.csv, 'utf8').trim().split('\n');
    assert.equal(header, 'true \\ predicted,blue,green,red');
    const counts = rows.map((row) => row.split(',').slice(1).map(Number));
    assert.equal(
      counts.flat().reduce((a, b) => a + b),
      9,
    );
    assert.equal(
      counts.reduce((sum, row, i) => sum + row[i], 0),
      result.correct,
    );
    assert.deepEqual(
      result.perClass.map((row: { class: string; accuracy: number }) => row.accuracy),
      counts.map((row, i) => (100 * row[i]) / row.reduce((a, b) => a + b)),
    );
    const { width, height, format } = await sharp(result.confusion.png).metadata();
    assert.deepEqual([width, height, format], [72, 72, 'png']);
  });

  test('eval finds the run of a config by its hash', async () => {
    const changes = ['--set', 'training.epochs=1', '--set', 'training.seed=3'];
    const untrained = await xbm(['eval', config, ...changes]);
    assert.equal(untrained.exitCode, ExitCode.usage);
    assert.match(untrained.err, /small-xbm-[0-9a-f]{8}-s3: no finished run of this experiment\nTrain it/);
    const trained = await xbm(['train', config, ...changes, '--json']);
    const found = await xbm(['eval', config, ...changes, '--json', '--engine', 'tfjs']);
    assert.equal(found.exitCode, ExitCode.ok, found.err);
    assert.equal(found.json().file, join(trained.json().folder, 'task.safetensors'));
    assert.equal(found.json().isTestSet, true);
    const both = await xbm(['eval', config, '--run', whole('xbm')]);
    assert.match(both.err, /--run and a config or --method both name a run/);
  });

  test('eval refuses settings that it does not read, and says when the images are not the test set', async () => {
    const evaluate = (...args: string[]) => xbm(['eval', '--run', whole('xbm'), '--json', ...args]);
    for (const set of [
      'method.rows=36',
      'training={epochs: 2}',
      'data.trainPercent=50',
      'training.imageSize=16',
      'backbone.weights=./nosuch.safetensors',
    ]) {
      const { exitCode, err } = await evaluate('--set', set);
      assert.equal(exitCode, ExitCode.usage, err);
      assert.match(
        err,
        /cannot be changed when a trained task is measured\nWhat can be set here: data\.root/,
      );
    }
    const file = await xbm([
      'eval',
      config,
      '--file',
      join(whole('xbm'), 'task.safetensors'),
      '--set',
      'name=x',
    ]);
    assert.equal(file.exitCode, ExitCode.usage);
    assert.match(
      file.err,
      /name is not read when a task file is measured\nWhat can be set here: task, data, /,
    );
    assert.equal((await evaluate()).json().isTestSet, true);
    await writeSmallImages(join(folder, 'others'), 5);
    const other = await evaluate('--set', 'data.root=others', '--out', join(folder, 'measured'));
    assert.equal(other.json().isTestSet, false);
    assert.match(other.err, /these are not the images that the run was tested on/);
  });

  test('eval and masks take the newest finished run by default', async () => {
    const runs = join(folder, 'results', 'runs');
    for (const method of ['xbm', 'classifier']) {
      const { exitCode, err } = await xbm([
        'train',
        config,
        '--method',
        method,
        '--set',
        'training.epochs=1',
      ]);
      assert.equal(exitCode, ExitCode.ok, err);
    }
    const masked = readdirSync(runs).filter((name) => name.includes('xbm'));
    const newest = join(runs, masked[0]);
    utimesSync(join(newest, 'summary.json'), new Date(), new Date(Date.now() + 60_000));
    mkdirSync(join(runs, 'zzz'));
    writeFileSync(join(runs, 'zzz', 'summary.json'), '{}');
    const masks = await xbm(['masks', '--task', 'folder', '--json']);
    assert.equal(masks.exitCode, ExitCode.ok, masks.err);
    assert.match(
      masks.err,
      /^left out: .*zzz.summary.json: not written by a run: wrong or missing keys: task, .*\n$/,
    );
    const result = masks.json();
    const summary = JSON.parse(readFileSync(join(newest, 'summary.json'), 'utf8'));
    assert.equal(result.file, join(newest, 'task.safetensors'));
    assert.deepEqual([result.shareOff, result.maskBytes], [summary.shareOff, summary.maskBytes]);
    assert.equal(
      result.layers.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0),
      142,
    );
    const svg = await xbm(['masks', '--out', 'masks.svg']);
    assert.match(svg.err, /--out masks\.svg: expected a file that ends in \.png/);
    assert.equal(svg.exitCode, ExitCode.usage);
    const { width } = await sharp(result.picture).metadata();
    assert.equal(width, 1024 + 6);
    const evaluated = await xbm(['eval', '--json']);
    assert.equal(evaluated.json().accuracy, summary.accuracy);
    const none = await xbm(['eval', '--task', 'cubs']);
    assert.match(none.err, /no finished run of task cubs/);
    assert.equal(none.exitCode, ExitCode.usage);
  });

  test('a run folder that was copied only in part is called that', async () => {
    const copy = join(folder, 'copy');
    cpSync(whole('xbm'), copy, { recursive: true });
    for (const [file, missing] of [
      ['config.yaml', 'config.yaml'],
      ['task.safetensors', 'config.yaml and task.safetensors'],
    ]) {
      rmSync(join(copy, file));
      for (const args of [
        ['eval', '--run', copy],
        ['train', config, '--out', copy],
      ]) {
        const { exitCode, err } = await xbm(args);
        assert.equal(exitCode, ExitCode.usage);
        assert.equal(
          err,
          `xbm: ${copy}: this run folder is incomplete: it lacks ${missing}\nCopy the whole folder again, or train the run anew with --force.\n`,
        );
      }
    }
  });

  test('a setting that changes nothing is said to', async () => {
    const sets = ['training.momentum=0.1', 'training.stepEpochs=2', 'training.learningRate.weights=9'];
    const out = join(folder, 'idle');
    const args = sets.flatMap((set) => ['--set', set]);
    const { exitCode, err } = await xbm(['train', config, '--out', out, ...args]);
    assert.equal(exitCode, ExitCode.ok, err);
    assert.deepEqual(
      err.split('\n').filter((line) => line.startsWith('Note:')),
      [
        'Note: --set training.momentum=0.1 changes nothing: optimizer adam has none (training.momentum)',
        'Note: --set training.stepEpochs=2 changes nothing: schedule cosine has no drops (training.stepEpochs)',
        'Note: --set training.learningRate.weights=9 changes nothing: method xbm trains no weights (training.learningRate.weights)',
      ],
    );
    const losses = (run: string) => readFileSync(join(run, 'metrics.jsonl'), 'utf8').match(/"loss":[^,]*/g);
    assert.deepEqual(losses(out), losses(whole('xbm')));
  });

  test('a finished run with a damaged task file does not pass for one', async () => {
    const copy = join(folder, 'flipped');
    cpSync(whole('xbm'), copy, { recursive: true });
    const file = join(copy, 'task.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(file, bytes);
    const { exitCode, out, err } = await xbm(['train', config, '--out', copy]);
    assert.equal(exitCode, ExitCode.usage);
    assert.equal(out, '');
    assert.match(err, /flipped.task.safetensors: damaged or edited.*\nRestore the file, or .* --force\.\n$/);
  });

  test('eval and masks give their results although the files beside them cannot be written', async () => {
    const copy = join(folder, 'taken');
    cpSync(whole('xbm'), copy, { recursive: true });
    for (const name of ['confusion.csv', 'masks.png']) {
      rmSync(join(copy, name), { force: true });
      mkdirSync(join(copy, name, 'x'), { recursive: true });
    }
    const summary = JSON.parse(readFileSync(join(copy, 'summary.json'), 'utf8'));
    const evaluated = await xbm(['eval', '--run', copy, '--json']);
    assert.equal(evaluated.exitCode, ExitCode.usage);
    assert.match(evaluated.err, /taken.confusion.csv: is a folder, expected a file/);
    assert.deepEqual([evaluated.json().accuracy, evaluated.json().confusion], [summary.accuracy, null]);
    const masks = await xbm(['masks', '--run', copy, '--json']);
    assert.equal(masks.exitCode, ExitCode.usage);
    assert.match(masks.err, /taken.masks.png: is a folder, expected a file/);
    assert.deepEqual([masks.json().shareOff, masks.json().picture], [summary.shareOff, null]);
  });

  test('eval --out onto a file is refused before anything is measured', async () => {
    const { exitCode, out, err } = await xbm(['eval', '--run', whole('xbm'), '--out', config]);
    assert.equal(exitCode, ExitCode.usage);
    assert.equal(out, '');
    assert.equal(err, `xbm: ${config}: is a file, expected a folder\nChoose another folder.\n`);
  });

  test('eval of a task file asks for what it needs, and refuses another backbone', async () => {
    const file = join(folder, 'alone.safetensors');
    writeFileSync(file, readFileSync(join(whole('xbm'), 'task.safetensors')));
    const alone = await xbm(['eval', '--file', file]);
    assert.equal(alone.exitCode, ExitCode.usage);
    assert.match(alone.err, /on which images\?/);
    const named = await xbm(['eval', config, '--file', file, '--json']);
    assert.equal(named.exitCode, ExitCode.ok, named.err);
    const summary = JSON.parse(readFileSync(join(whole('xbm'), 'summary.json'), 'utf8'));
    assert.equal(named.json().accuracy, summary.accuracy);
    await writeBackbone(join(folder, 'other.safetensors'), 2);
    const other = await xbm(['eval', config, '--file', file, '--backbone', './other.safetensors']);
    assert.equal(other.exitCode, ExitCode.usage);
    assert.match(
      other.err,
      new RegExp(`trained on backbone ${summary.backboneSha256}, but this one is [0-9a-f]{64}`),
    );
  });

  test('a learning rate that explodes ends with a message and an intact folder', async () => {
    const run = join(folder, 'exploded');
    const args = ['train', config, '--out', run, '--set', 'training.learningRate.batchNorm=1e38'];
    const { exitCode, err } = await xbm(args);
    assert.equal(exitCode, ExitCode.failed);
    assert.match(err, /^xbm: training diverged: .*\nLower training.learningRate/m);
    assert.equal(existsSync(join(run, 'summary.json')), false);
    assert.equal(existsSync(join(run, 'lock')), false);
  });

  test('missing things are named: backbone, data, images', async () => {
    const cases: [string[], RegExp][] = [
      [['--set', 'backbone.weights=nosuch'], /no backbone named "nosuch" in the store/],
      [['--set', 'backbone.weights=./nosuch.safetensors'], /nosuch.safetensors: no such file/],
      [['--set', 'data.root=null'], /where are the images of task folder\?/],
      [['--set', 'backbone.weightBits=5'], /has 4-bit weights and 4-bit activations; 5 and 4 were asked for/],
      [['--set', 'backbone.network=cifar-resnet20'], /cifar-resnet8, but backbone.network is cifar-resnet20/],
      [['--set', 'training.batchSize=64'], /39 training images do not fill one batch of 64/],
      [['--set', 'data.root=damaged'], /1 of 39 images cannot be used: .*00.png/],
      [['--set', 'data.root=lacking'], /lacking: class red has no train images\nGive it images/],
      [['--set', 'hardware=./nosuch.yaml'], /no hardware description ".*nosuch.yaml"/],
      [['--resume', '--force'], /--resume continues a run/],
    ];
    cpSync(join(folder, 'images'), join(folder, 'damaged'), { recursive: true });
    writeFileSync(join(folder, 'damaged', 'red', '00.png'), 'no image');
    for (const split of ['train', 'test'])
      cpSync(join(folder, 'images'), join(folder, 'lacking', split), { recursive: true });
    rmSync(join(folder, 'lacking', 'train', 'red'), { recursive: true });
    mkdirSync(join(folder, 'lacking', 'train', 'red'));
    const before = readdirSync(folder);
    for (const [args, expected] of cases) {
      const { exitCode, err } = await xbm(['train', config, '--out', join(folder, 'new', 'run'), ...args]);
      assert.equal(exitCode, ExitCode.usage, err);
      assert.match(err, expected);
      assert.deepEqual(readdirSync(folder), before, 'a failed start leaves no folder');
    }
  });
});
