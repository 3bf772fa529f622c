import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parquetReadObjects } from 'hyparquet';
import { groupRuns } from '../../src/report/experiment/groups.js';
import type { ExperimentRun } from '../../src/report/experiment/types.js';
import type { RunEnergy } from '../../src/reproduce/energies.js';
import { runsParquet } from '../../src/reproduce/parquet.js';
import { summarizeRuns } from '../../src/reproduce/summary.js';
import { summaryCsv } from '../../src/reproduce/writeResults.js';
import { finish, runsOf } from './fixtures.js';

const text = 'name: a\ntasks: [flowers]\nmethods: [xbm, finetune]\nseeds: [0, 1, 2]\n';
const energy = (perImage: number): Record<string, RunEnergy> => ({
  'nn-imc': {
    energyPerImageMicrojoules: perImage,
    inferenceTestSetJoules: 1,
    reprogrammingJoules: 0.5,
    totalJoules: 1.5,
    cellWritePicojoules: 80_000,
  },
});

test('one row per experiment: mean and sample standard deviation over seeds, next to the published number', () => {
  const runs = runsOf(text);
  const finished = runs.map((run) => finish(run, { accuracy: 88 + 2 * run.seed, shareOff: 30 + run.seed }));
  const energies = new Map(runs.map((run) => [run.name, energy(20 + run.seed)]));
  const [xbm, finetune] = summarizeRuns(finished, energies);
  assert.deepEqual([xbm.task, xbm.method, xbm.seeds], ['flowers', 'xbm', [0, 1, 2]]);
  assert.deepEqual([xbm.accuracy, xbm.accuracyStandardDeviation], [90, 2]);
  assert.equal(xbm.publishedAccuracy, 90.81);
  assert.ok(Math.abs(xbm.accuracyDifference! + 0.81) < 1e-9);
  assert.deepEqual([xbm.shareOff, xbm.publishedShareOff], [31, 31.92]);
  assert.deepEqual([xbm.shareOffStandardDeviation, xbm.rows], [1, 72]);
  assert.equal(xbm.energy['nn-imc'].energyPerImageMicrojoules, 21);
  assert.equal(xbm.energy['nn-imc'].energyPerImageMicrojoulesStandardDeviation, 1);
  assert.equal(xbm.energy['nn-imc'].totalJoulesStandardDeviation, 0);
  assert.deepEqual([finetune.shareOffStandardDeviation, finetune.rows], [null, null]);
  assert.deepEqual(
    [finetune.publishedAccuracy, finetune.shareOff, finetune.publishedShareOff],
    [95.34, null, null],
  );
  assert.deepEqual(
    xbm.runs,
    runs.slice(0, 3).map(({ name }) => name),
  );
});

test('the published number is only put beside what is comparable', () => {
  const [run] = runsOf('name: a\ntasks: [flowers]\nmethods: [xbm]\n');
  const published = (changes: Parameters<typeof finish>[1]) =>
    summarizeRuns([finish(run, changes)], new Map())[0].publishedAccuracy;
  assert.equal(published({}), 90.81);
  for (const other of [
    { classes: 40 },
    { testImages: 100 },
    { trainImages: 100 },
    { imageSize: 96 },
    { network: 'resnet18' },
    { weightBits: 8 },
    { granularity: 'channel' as const },
    { rows: 144 },
    { epochs: 1 },
  ]) {
    assert.equal(published(other), null, JSON.stringify(other));
  }
});

test('one seed has no standard deviation; equal seeds have exactly none', () => {
  const runs = runsOf(text).slice(0, 3);
  const [one] = summarizeRuns([finish(runs[0], { accuracy: 12.3 })], new Map());
  assert.equal(one.accuracyStandardDeviation, null);
  const [same] = summarizeRuns(
    runs.map((run) => finish(run, { accuracy: 0.1 + 0.2 })),
    new Map(),
  );
  assert.deepEqual([same.accuracy, same.accuracyStandardDeviation], [0.1 + 0.2, 0]);
});

test('variants and further experiments keep rows of their own', () => {
  const runs = runsOf(
    'name: a\nexperiments: [flowers-xbm]\nvariants: { column: {}, channel: { method: { granularity: channel } } }\n',
  );
  const rows = summarizeRuns(
    runs.map((run) => finish(run)),
    new Map(),
  );
  assert.deepEqual(
    rows.map(({ variant }) => variant),
    ['column', 'channel'],
  );
});

test('two files of one task and method are two rows, in the summary and in the report', () => {
  const files = {
    'a.yaml': 'extends: flowers-xbm\n',
    'b.yaml': 'extends: flowers-xbm\ntraining: { learningRate: { masks: 1e-3 } }\n',
    'c.yaml': 'extends: cubs-xbm\n',
  };
  const runs = runsOf(
    'name: a\nexperiments: [a.yaml, c.yaml, b.yaml]\nseeds: [0, 1]\nvariants: { v: {}, w: { method: { rows: 36 } } }\n',
    {},
    files,
  );
  const named = runs.map(({ task, variant, seed }) => `${task} ${variant} s${seed}`);
  assert.deepEqual(named, [
    ...['v, a', 'w, a', 'v, b', 'w, b'].flatMap((variant) => [
      `flowers ${variant} s0`,
      `flowers ${variant} s1`,
    ]),
    ...['v', 'w'].flatMap((variant) => [`cubs ${variant} s0`, `cubs ${variant} s1`]),
  ]);
  const rows = summarizeRuns(
    runs.map((run) => finish(run)),
    new Map(),
  );
  assert.deepEqual(
    rows.map(({ task, variant }) => `${task} ${variant}`),
    ['flowers v, a', 'flowers w, a', 'flowers v, b', 'flowers w, b', 'cubs v', 'cubs w'],
  );
  const reported = runs.map((run) => ({
    task: run.task,
    variant: run.variant,
    summary: finish(run).summary,
  }));
  const groups = groupRuns({ runs: reported as unknown as ExperimentRun[], missing: [] });
  assert.deepEqual(
    groups.map(({ task, label }) => `${task} ${label}`),
    rows.map(({ task, variant }) => `${task} xbm (${variant})`),
  );
});

test('the CSV has one line per row, energies by preset', () => {
  const runs = runsOf(text);
  const energies = new Map(runs.map((run) => [run.name, energy(20)]));
  const rows = summarizeRuns(
    runs.map((run) => finish(run)),
    energies,
  );
  const summary = { name: 'a', title: 'a', hardware: ['nn-imc'], rows, missing: [], unpriced: [] };
  const [header, ...lines] = summaryCsv(summary).trimEnd().split('\r\n');
  assert.equal(lines.length, 2);
  const cells = Object.fromEntries(header.split(',').map((key, i) => [key, lines[0].split(',')[i]]));
  assert.equal(cells.method, 'xbm');
  assert.equal(cells.seeds, '0 1 2');
  assert.equal(cells.rows, '72');
  assert.equal(cells['nn-imc.energyPerImageMicrojoules'], '20');
  assert.equal(cells['nn-imc.energyPerImageMicrojoulesStandardDeviation'], '0');
  const perPreset = header.split(',').filter((key) => key.startsWith('nn-imc.'));
  assert.deepEqual([perPreset.length, perPreset.at(-1)], [9, 'nn-imc.cellWritePicojoules']);
  assert.equal(
    summaryCsv({ ...summary, rows: [] })
      .trim()
      .startsWith('nn-imc.'),
    true,
  );
});

test('the Parquet file has one row per run, and reads back', async () => {
  const runs = runsOf(text);
  const finished = runs.map((run) => finish(run, { accuracy: 88 + run.seed }));
  const energies = new Map(runs.slice(0, 1).map((run) => [run.name, energy(20)]));
  const bytes = runsParquet(finished, energies, ['nn-imc']);
  assert.deepEqual(runsParquet(finished, energies, ['nn-imc']), bytes);
  const rows = await parquetReadObjects({ file: bytes.buffer as ArrayBuffer });
  assert.equal(rows.length, 6);
  assert.deepEqual(
    rows.map((row) => [row.run, row.seed, row.accuracy]),
    finished.map(({ run, summary }) => [run.name, run.seed, summary.accuracy]),
  );
  assert.equal(rows[0]['nn-imc.energyPerImageMicrojoules'], 20);
  assert.equal(rows[1]['nn-imc.energyPerImageMicrojoules'] ?? null, null);
  assert.equal(rows[3].shareOff ?? null, null);
  assert.deepEqual([rows[0].shareOff, rows[0].rows], [25, 72]);
  const none = await parquetReadObjects({
    file: runsParquet([], new Map(), ['nn-imc']).buffer as ArrayBuffer,
  });
  assert.deepEqual(none, []);
});
