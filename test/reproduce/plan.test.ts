import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { initialTaskState } from '../../src/adaption/parameters.js';
import { type Task, taskFromState } from '../../src/adaption/task.js';
import { writeTaskFile } from '../../src/adaption/taskFile.js';
import { buildNetwork } from '../../src/model/networks.js';
import { estimateSeconds, measuredSpeeds, type Speed } from '../../src/reproduce/estimate.js';
import { readFinished } from '../../src/reproduce/finished.js';
import { inspectRun } from '../../src/reproduce/inspect.js';
import { makePlan } from '../../src/reproduce/plan.js';
import { writeCheckpoint } from '../../src/runs/checkpointFile.js';
import { randomPlan, tinyMethod } from '../engines/fixtures.js';
import { finish, folderWith, runsOf } from './fixtures.js';

const text = 'name: a\ntasks: [flowers]\nmethods: [xbm, finetune]\nseeds: [0, 1]\n';
const speed = (changes: Partial<Speed> = {}): Speed => ({
  network: 'resnet50',
  imageSize: 224,
  method: 'xbm',
  trainingImagesPerSecond: 10,
  testImagesPerSecond: 40,
  ...changes,
});
const sizes = { train: 2040, test: 6149 };

test('the time of a run is its images over the speed of runs like it', () => {
  const [{ experiment }] = runsOf(text);
  // 63 whole batches of 32 in each of 30 epochs.
  const whole = (30 * 63 * 32) / 10 + 6149 / 40;
  assert.equal(estimateSeconds(experiment, sizes, 0, [speed()]), whole);
  assert.equal(estimateSeconds(experiment, sizes, 63 * 15, [speed()]), (15 * 63 * 32) / 10 + 6149 / 40);
  assert.equal(estimateSeconds(experiment, sizes, 63 * 30, [speed()]), 6149 / 40);
  const slow = [
    speed({ trainingImagesPerSecond: 5 }),
    speed({ trainingImagesPerSecond: 10 }),
    speed({ trainingImagesPerSecond: 99 }),
  ];
  assert.equal(estimateSeconds(experiment, sizes, 0, slow), whole, 'the median');
  const other = speed({ method: 'finetune', trainingImagesPerSecond: 1 });
  assert.equal(estimateSeconds(experiment, sizes, 0, [other, speed()]), whole, 'its own method first');
  assert.ok(estimateSeconds(experiment, sizes, 0, [other])! > whole, 'another method rather than nothing');
});

test('the time is unknown without a run like it, or without the data set', () => {
  const [{ experiment }] = runsOf(text);
  assert.equal(estimateSeconds(experiment, sizes, 0, []), null);
  assert.equal(estimateSeconds(experiment, sizes, 0, [speed({ imageSize: 96 })]), null);
  assert.equal(estimateSeconds(experiment, sizes, 0, [speed({ network: 'resnet18' })]), null);
  assert.equal(estimateSeconds(experiment, null, 0, [speed()]), null);
});

test('a plan counts each run once: done, or missing with known or unknown time', () => {
  const runs = runsOf(text);
  const states = fc.constantFrom('done', 'resume', 'train', 'again');
  fc.assert(
    fc.property(fc.array(states, { minLength: 4, maxLength: 4 }), fc.boolean(), (chosen, known) => {
      const inspections = new Map(
        runs.map(({ name }, i) => [name, { state: chosen[i], steps: 0, note: null }] as const),
      );
      const data = new Map(runs.map(({ name }) => [name, { sizes, problem: null }]));
      const plan = makePlan(runs, inspections as never, data, known ? [speed()] : []);
      const missing = chosen.filter((state) => state !== 'done').length;
      assert.equal(plan.missing.length, missing);
      assert.equal(plan.unknown, known ? 0 : missing);
      assert.equal(plan.secondsInTurn > 0, known && missing > 0);
    }),
  );
});

function taskOf(configHash: string): Task {
  const plan = randomPlan(buildNetwork('cifar-resnet8', 10), 10, {
    method: tinyMethod('xbm'),
    batchSize: 2,
    imageSize: 32,
  });
  const { graph, method, imageSize, backbone, optimizer } = plan;
  const classes = Array.from({ length: 10 }, (_, i) => `class ${i}`);
  const origin = {
    method,
    classes,
    imageSize,
    backboneSha256: backbone.sha256,
    configHash,
    programVersion: '0.1.0',
  };
  return taskFromState(initialTaskState(graph, backbone, method, optimizer, 0), backbone, origin);
}

test('a run folder tells what is there', async () => {
  const [run] = runsOf(text, { cwd: folderWith({}) });
  const state = async () => (await inspectRun(run)).state;
  const { folder, summary, timings } = finish(run);
  assert.equal(await state(), 'train');
  mkdirSync(folder.path, { recursive: true });
  writeFileSync(folder.checkpoint, 'torn');
  assert.equal(await state(), 'again', 'a damaged checkpoint');
  const place = { epoch: 0, batch: 1, running: { lossSum: 1, correct: 1, images: 8, batches: 1 } };
  const checkpoint = { ...place, state: { step: 1, tensors: { a: Float32Array.of(1) }, moments: {} } };
  const hashes = { configHash: '', backboneSha256: '', trainImagesHash: '' };
  const context = { ...hashes, metricsBytes: 3, trainingSeconds: 1, engine: 'onnx' } as const;
  await writeCheckpoint(folder.checkpoint, { ...checkpoint, bestValidation: null }, context);
  assert.match((await inspectRun(run)).note!, /metrics.jsonl: is missing/);
  writeFileSync(folder.metrics, '{}\n');
  assert.deepEqual(await inspectRun(run), { state: 'resume', steps: 1, note: null });
  const bytes = readFileSync(folder.checkpoint);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(folder.checkpoint, bytes);
  assert.match((await inspectRun(run)).note!, /damaged or edited/);
  writeFileSync(folder.summary, JSON.stringify(summary));
  assert.equal(await state(), 'again', 'the task file is gone');
  await writeTaskFile(folder.task, taskOf('f'.repeat(64)));
  assert.match((await inspectRun(run)).note!, /task\.safetensors: is of another run/);
  await writeTaskFile(folder.task, taskOf(run.configHash));
  assert.equal(await state(), 'done');
  const task = readFileSync(folder.task);
  writeFileSync(folder.task, task.subarray(0, task.length - 2));
  assert.equal(await state(), 'again', 'the task file is damaged');
  writeFileSync(folder.task, task);
  writeFileSync(folder.summary, JSON.stringify({ ...summary, configHash: 'f'.repeat(64) }));
  assert.match((await inspectRun(run)).note!, /another experiment/);
  assert.deepEqual(readFinished([run]), []);
  writeFileSync(folder.summary, JSON.stringify(summary));
  writeFileSync(folder.timings, JSON.stringify(timings));
  writeFileSync(folder.config, 'extends: flowers-xbm\n');
  assert.deepEqual(readFinished([run]), [{ run, folder, summary, timings }]);
  const [measured] = measuredSpeeds([join(folder.path, '..')]);
  assert.deepEqual([measured.trainingImagesPerSecond, measured.testImagesPerSecond], [612, 614.9]);
  writeFileSync(folder.timings, '{}');
  assert.deepEqual(measuredSpeeds([join(folder.path, '..'), '/nosuch']), []);
});
