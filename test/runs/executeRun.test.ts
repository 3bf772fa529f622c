import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { foldIntoBackbone } from '../../src/adaption/task.js';
import { readTaskFile } from '../../src/adaption/taskFile.js';
import { ExitCode, UserError } from '../../src/errors.js';
import { StorageError } from '../../src/model/replaceFile.js';
import { executeRun } from '../../src/runs/executeRun.js';
import { programCode } from '../../src/runs/programCode.js';
import { RunFolder } from '../../src/runs/runFolder.js';
import { evaluate } from '../../src/training/evaluate.js';
import { ColourLoader, DoubleEngine, tinyBackbone } from '../training/doubles.js';
import { reproducibleFiles, temporaryRun, tinyInputs } from './fixtures.js';

for (const method of ['xbm', 'piggyback', 'finetune', 'classifier'] as const) {
  test(`${method}: a run ends with its task, its accuracy and every file`, async (t) => {
    const folder = temporaryRun(t);
    const inputs = tinyInputs(method, { validation: true });
    const result = await executeRun(folder, inputs, { start: 'fresh' });
    assert.ok(result.finished);
    const { summary } = result;
    assert.equal(folder.status, 'finished');
    assert.deepEqual(folder.readSummary(), summary);
    assert.ok(summary.accuracy > 60, `accuracy ${summary.accuracy}`);
    assert.equal(summary.steps, 21);
    assert.equal(summary.testImages, 17);
    assert.equal(summary.bestValidation !== null, true);
    const masked = method === 'xbm' || method === 'piggyback';
    // conv1 has 27 rows in 3 segments of 9, each other convolution 36 rows in 4; piggyback one bit per weight.
    assert.equal(summary.maskBits, method === 'xbm' ? 4 * (3 + 4 + 4) : masked ? 4 * (27 + 36 + 36) : 0);
    assert.equal(summary.shareOff > 0 && summary.shareOff < 100, masked);

    const task = await readTaskFile(folder.task, inputs.backbone.graph);
    const network = foldIntoBackbone(task, inputs.backbone);
    assert.deepEqual(
      summary.levels,
      method === 'finetune' ? { changed: summary.levels?.changed, weights: 4 * 99 } : undefined,
    );
    const { engine, loaders } = inputs;
    const again = await evaluate({ engine, network, loader: loaders.test, batchSize: 6, imageSize: 8 });
    assert.equal(again.accuracy, summary.accuracy);
    assert.equal(again.loss, summary.loss);

    const lines = readFileSync(folder.metrics, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      ['step', 'epoch', 'test'].map((kind) => lines.filter((line) => line.kind === kind).length),
      [21, 3, 1],
    );
    const epochs = lines.filter((line) => line.kind === 'epoch');
    assert.deepEqual(Object.keys(epochs[0].validation), ['loss', 'accuracy']);
    assert.equal(
      summary.bestValidation?.accuracy,
      Math.max(...epochs.map((line) => line.validation.accuracy)),
    );
    assert.equal(epochs[2].shareOff, summary.shareOff);
    const { starts } = JSON.parse(readFileSync(folder.environment, 'utf8'));
    assert.equal(starts.length, 1);
    const { commit, codeSha256 } = programCode();
    assert.deepEqual([starts[0].commit, starts[0].codeSha256], [commit, codeSha256]);
    assert.equal(JSON.parse(readFileSync(folder.timings, 'utf8')).trainingSeconds > 0, true);
  });
}

test('equal inputs give equal bytes', async (t) => {
  const [a, b] = [temporaryRun(t), temporaryRun(t)];
  for (const folder of [a, b]) await executeRun(folder, tinyInputs(), { start: 'fresh' });
  assert.deepEqual(reproducibleFiles(a), reproducibleFiles(b));
});

for (const method of ['xbm', 'finetune'] as const) {
  test(`${method}: interrupted at any step and resumed, a run ends in the same bytes`, async (t) => {
    const whole = temporaryRun(t);
    await executeRun(whole, tinyInputs(method), { start: 'fresh' });
    for (const stopAt of [0, 6, 7, 12, 19]) {
      const folder = temporaryRun(t);
      const controller = new AbortController();
      const engine = new DoubleEngine({ onStep: (step) => step === stopAt && controller.abort() });
      const first = await executeRun(folder, tinyInputs(method, { engine }), {
        start: 'fresh',
        signal: controller.signal,
      });
      assert.deepEqual(first, { finished: false, steps: stopAt + 1, totalSteps: 21 });
      assert.equal(folder.status, 'unfinished');
      // What a kill leaves behind: records after the checkpoint, the last one torn.
      writeFileSync(folder.metrics, '{"kind":"step","step":99}\n{"kind":"st', { flag: 'a' });
      await executeRun(folder, tinyInputs(method), { start: 'resume' });
      assert.deepEqual(reproducibleFiles(folder), reproducibleFiles(whole));
      assert.equal(JSON.parse(readFileSync(folder.environment, 'utf8')).starts.length, 2);
    }
  });
}

test('a NaN loss leaves a folder that can be resumed', async (t) => {
  const folder = temporaryRun(t);
  const engine = new DoubleEngine({ nanAtStep: 9 });
  await assert.rejects(executeRun(folder, tinyInputs('xbm', { engine }), { start: 'fresh' }), UserError);
  assert.equal(folder.status, 'unfinished');
  assert.equal(existsSync(folder.task), false);
  const result = await executeRun(folder, tinyInputs(), { start: 'resume' });
  assert.ok(result.finished);
});

test('a checkpoint of another experiment, backbone, data set or engine is refused', async (t) => {
  const folder = temporaryRun(t);
  const engine = new DoubleEngine({ nanAtStep: 9 });
  await assert.rejects(executeRun(folder, tinyInputs('xbm', { engine }), { start: 'fresh' }));
  const before = readFileSync(folder.checkpoint);
  const other = tinyInputs();
  const cases = [
    { changes: { configHash: 'another' }, expected: /belongs to another experiment$/ },
    { changes: { backbone: tinyBackbone(4, 2) }, expected: /it is of backbone [0-9a-f]{64}, this one is/ },
    {
      changes: { engine: Object.assign(new DoubleEngine(), { name: 'onnx' }) },
      expected: /engine tfjs, this is onnx/,
    },
    {
      changes: {
        loaders: {
          ...other.loaders,
          // The same names and labels, other pixels.
          train: new ColourLoader({ samples: 43, classes: 3, batchSize: 6, mode: 'train', seed: 7 }),
        },
      },
      expected: /training images \(names, labels or pixels\) are others/,
    },
  ];
  for (const { changes, expected } of cases) {
    await assert.rejects(executeRun(folder, tinyInputs('xbm', changes), { start: 'resume' }), expected);
  }
  const finetune = executeRun(folder, tinyInputs('finetune'), { start: 'resume' });
  await assert.rejects(
    finetune,
    /belongs to another experiment \(method.name: "xbm", now "finetune"; method.gran/,
  );
  assert.deepEqual(readFileSync(folder.checkpoint), before);
});

test('a checkpoint with a flipped bit, or cut off, is not resumed, and the message says what to do', async (t) => {
  const folder = temporaryRun(t);
  const engine = new DoubleEngine({ nanAtStep: 9 });
  await assert.rejects(executeRun(folder, tinyInputs('xbm', { engine }), { start: 'fresh' }));
  const bytes = readFileSync(folder.checkpoint);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(folder.checkpoint, bytes);
  const resume = () => executeRun(folder, tinyInputs(), { start: 'resume' });
  const isRefused = (message: RegExp) => (error: unknown) =>
    error instanceof UserError && message.test(error.message) && /--force/.test(error.hint ?? '');
  await assert.rejects(resume(), isRefused(/checkpoint.safetensors: damaged or edited/));
  writeFileSync(folder.checkpoint, bytes.subarray(0, 100));
  await assert.rejects(resume(), isRefused(/checkpoint.safetensors: /));
});

test('a folder that is moved while it is trained in: the message says so, and the run goes on at its new place', async (t) => {
  const folder = temporaryRun(t);
  const moved = new RunFolder(`${folder.path}-moved`);
  t.after(() => rmSync(moved.path, { recursive: true, force: true }));
  const onEpoch = ({ epoch }: { epoch: number }) => {
    if (epoch === 2) renameSync(folder.path, moved.path);
  };
  await assert.rejects(
    executeRun(folder, tinyInputs(), { start: 'fresh', onEpoch }),
    (error: UserError) =>
      /the run folder was moved or deleted while/.test(error.message) && /--resume/.test(error.hint!),
  );
  assert.ok((await executeRun(moved, tinyInputs(), { start: 'resume' })).finished);
});

test('a full disk: what is saved goes on with --resume, and the message says so', async (t) => {
  const fill = (at: number) => ({
    onEpoch: ({ epoch }: { epoch: number }) => {
      if (epoch === at)
        throw new StorageError('ENOSPC', 'x: the disk is full', 'Free some space.', ExitCode.unavailable);
    },
  });
  const folder = temporaryRun(t);
  const engine = new DoubleEngine({ nanAtStep: 9 });
  await assert.rejects(executeRun(folder, tinyInputs('xbm', { engine }), { start: 'fresh' }));
  await assert.rejects(
    executeRun(folder, tinyInputs(), { start: 'resume', ...fill(2) }),
    (error: UserError) =>
      error.message === 'x: the disk is full' &&
      error.exitCode === ExitCode.unavailable &&
      /Free some space and go on from the last checkpoint with --resume/.test(error.hint!),
  );
  assert.ok((await executeRun(folder, tinyInputs(), { start: 'resume' })).finished);
});

test('a run whose records are gone or cut is not resumed, and not touched', async (t) => {
  const folder = temporaryRun(t);
  const engine = new DoubleEngine({ nanAtStep: 9 });
  await assert.rejects(executeRun(folder, tinyInputs('xbm', { engine }), { start: 'fresh' }));
  const records = readFileSync(folder.metrics);
  const environment = readFileSync(folder.environment, 'utf8');
  const resume = () => executeRun(folder, tinyInputs(), { start: 'resume' });
  rmSync(folder.metrics);
  await assert.rejects(resume(), /metrics.jsonl: is missing; at the checkpoint it had \d+ bytes: records of/);
  writeFileSync(folder.metrics, records.subarray(0, 100));
  await assert.rejects(
    resume(),
    /metrics.jsonl: has 100 bytes; at the checkpoint it had \d+ bytes: records of/,
  );
  assert.equal(readFileSync(folder.environment, 'utf8'), environment);
  writeFileSync(folder.metrics, records);
  assert.ok((await resume()).finished);
});

test('a changed backbone trips the guard and leaves no summary', async (t) => {
  const folder = temporaryRun(t);
  const backbone = tinyBackbone();
  const engine = new DoubleEngine({
    onStep: (step) => {
      if (step === 5) backbone.batchNorms['bn1.weight'][0] = 2;
    },
  });
  await assert.rejects(
    executeRun(folder, tinyInputs('xbm', { engine, backbone }), { start: 'fresh' }),
    /the frozen backbone changed during training/,
  );
  assert.equal(existsSync(folder.summary), false);
});

test('a start that fails before its first step leaves nothing behind; a later one leaves its records', async (t) => {
  for (const [nanAtStep, left] of [
    [0, []],
    [1, ['config.yaml', 'environment.json', 'events', 'metrics.jsonl']],
  ] as const) {
    const folder = temporaryRun(t);
    const inputs = tinyInputs('xbm', { engine: new DoubleEngine({ nanAtStep }) });
    const { training } = inputs.experiment;
    const experiment = { ...inputs.experiment, training: { ...training, checkpointMinutes: 60 } };
    await assert.rejects(executeRun(folder, { ...inputs, experiment }, { start: 'fresh' }), UserError);
    assert.deepEqual(
      readdirSync(folder.path)
        .map((name) => name.replace(/\.out\.tfevents.*/, ''))
        .sort(),
      left,
    );
  }
});

test('what a kill in the middle of writing a file left goes away with the next start', async (t) => {
  const folder = temporaryRun(t);
  const engine = new DoubleEngine({ nanAtStep: 9 });
  await assert.rejects(executeRun(folder, tinyInputs('xbm', { engine }), { start: 'fresh' }));
  for (const start of ['resume', 'fresh'] as const) {
    const torn = [`${folder.checkpoint}.0123abcd.tmp`, `${folder.summary}.89ef0123.tmp`];
    const mine = `${folder.checkpoint}.mine.tmp`;
    for (const file of [...torn, mine]) writeFileSync(file, 'torn');
    await executeRun(folder, tinyInputs(), { start });
    assert.deepEqual([...torn, mine].map(existsSync), [false, false, true]);
  }
});

test('a fresh start clears what an older run left, and nothing else', async (t) => {
  const folder = temporaryRun(t);
  await executeRun(folder, tinyInputs(), { start: 'fresh' });
  const mine = ['events.out.tfevents.1700000000.host', 'notes.txt', 'thesis.tmp', 'task.safetensors.old.tmp'];
  for (const name of mine) writeFileSync(join(folder.path, name), 'mine');
  const engine = new DoubleEngine({ nanAtStep: 0 });
  await assert.rejects(executeRun(folder, tinyInputs('xbm', { engine }), { start: 'fresh' }));
  assert.equal(folder.status, 'absent');
  assert.deepEqual(readdirSync(folder.path).sort(), ['config.yaml', ...mine].sort());
});
