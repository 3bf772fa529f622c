import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { main } from '../../src/cli/main.js';
import { parseAxis } from '../../src/cli/sweepAxes.js';
import { randomBackbone, writeRun } from '../report/trainedRuns.js';
import { temporaryFolder } from '../runs/fixtures.js';
import { fakeIo } from './fakeIo.js';

async function sweep(cwd: string, ...args: string[]) {
  const io = fakeIo({ cwd });
  const code = await main(['sweep', ...args], io);
  return { code, out: io.out(), err: io.err() };
}

test('axes: lists of numbers or words, ranges with equal ratios', () => {
  assert.deepEqual(parseAxis('array.rows=64, 72,128'), { key: 'array.rows', values: [64, 72, 128] });
  assert.deepEqual(parseAxis('policies.gating=linear,by-component').values, ['linear', 'by-component']);
  assert.deepEqual(parseAxis('write.energyPerCell=1..1000:4').values, [1, 10, 100, 1000]);
  assert.deepEqual(
    parseAxis('array.rows=1..10:5').values,
    [1, 2, 3, 6, 10],
    'whole numbers where a key counts',
  );
  assert.deepEqual(parseAxis('mask.rows=1..3:5').values, [1, 2, 3]);
  for (const bad of [
    'array.rows',
    '=1',
    'a=',
    'a=1,,2',
    'a=1,1',
    'a=5..1:3',
    'a=0..1:3',
    'a=1..2:1',
    'a=1..2',
    'a=1..2:1000000',
  ]) {
    assert.throws(() => parseAxis(bad), { name: 'UserError', message: /--vary/ }, bad);
  }
});

test('every point as CSV, the front as JSON, files and chart', async (t) => {
  const cwd = temporaryFolder(t);
  const vary = ['--vary', 'array.rows=64,72', '--vary', 'policies.gating=linear,by-component'];
  const csv = await sweep(cwd, ...vary, '--format', 'csv', '--out', 'points.csv', '--chart', 'pareto.svg');
  assert.equal(csv.code, 0, csv.err);
  const lines = csv.out.trimEnd().split('\r\n');
  assert.equal(lines.length, 5);
  assert.match(lines[0], /^array\.rows,policies\.gating,arrays,/);
  assert.match(lines[1], /^64,linear,/);
  assert.equal(readFileSync(join(cwd, 'points.csv'), 'utf8'), csv.out);
  assert.match(readFileSync(join(cwd, 'pareto.svg'), 'utf8'), /Pareto front/);

  const json = JSON.parse((await sweep(cwd, ...vary, '--json')).out);
  assert.equal(json.points, 4);
  assert.ok(json.front.length >= 1 && json.front[0].xbmTotalJoules > 0);
});

test('Parquet holds the same numbers and texts', async (t) => {
  const cwd = temporaryFolder(t);
  const args = [
    '--vary',
    'array.columns=64,72',
    '--vary',
    'policies.adderTree=nn-imc,log2',
    '--out',
    'points.parquet',
  ];
  const { code, err } = await sweep(cwd, ...args);
  assert.equal(code, 0, err);
  const { parquetReadObjects } = await import('hyparquet');
  const bytes = readFileSync(join(cwd, 'points.parquet'));
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const rows = await parquetReadObjects({ file: file as ArrayBuffer });
  assert.equal(rows.length, 4);
  assert.equal(rows[3]['policies.adderTree'], 'log2');
  assert.equal(rows[2]['array.columns'], 72);
  assert.equal(rows[2].arrays, 10_326);
});

test('every output but the points says what was priced', async (t) => {
  const cwd = temporaryFolder(t);
  const args = '--vary array.rows=36,72 --network cifar-resnet20 --task flowers --set array.adcBits=5'.split(
    ' ',
  );
  const heading =
    /^cifar-resnet20 at 32×32 on nn-imc with array\.adcBits=5; task flowers: 102 classes, 6,149 test images; off: XBM 31\.92 % of columns, Piggyback 4\.48 % of weights$/m;
  const table = await sweep(cwd, ...args, '--chart', 'pareto.svg');
  assert.match(table.out, heading);
  assert.match(readFileSync(join(cwd, 'pareto.svg'), 'utf8'), /cifar-resnet20 at 32×32 on nn-imc/);
  const csv = await sweep(cwd, ...args, '--format', 'csv');
  assert.match(csv.err, heading);
  assert.match(csv.out, /^array\.rows,arrays,/);
  const { scenario } = JSON.parse((await sweep(cwd, ...args, '--json')).out);
  assert.deepEqual(scenario, {
    network: 'cifar-resnet20',
    input: '32×32',
    preset: 'nn-imc',
    set: ['array.adcBits=5'],
    task: 'flowers',
    classes: 102,
    testImages: 6149,
    run: null,
    xbmShareOffPercent: 31.92,
    piggybackShareOffPercent: 4.48,
  });
  const other = '--image-size 64 --share-off 20 --test-images 10 --vary mask.shareOff=1,2 --json'.split(' ');
  const given = JSON.parse((await sweep(cwd, ...args, ...other)).out).scenario;
  assert.deepEqual([given.input, given.testImages, given.xbmShareOffPercent], ['64×64', 10, null]);
});

test('published tasks, other shares, extrapolated adder trees and unmodelled accuracy are said', async (t) => {
  const { code, err } = await sweep(
    temporaryFolder(t),
    '--vary',
    'array.rows=32,72',
    '--vary',
    'array.adcBits=4,5',
  );
  assert.equal(code, 0);
  assert.match(err, /2 of 4 designs need adder trees of more than 8 stages/);
  assert.match(err, /Accuracy is not modelled/);
  assert.match(err, /share of columns off is assumed the same for segments of any rows/);
  assert.doesNotMatch(err, /The ADC keeps/, 'its bits are swept');
  const rows = await sweep(temporaryFolder(t), '--vary', 'array.rows=36,72');
  assert.match(rows.err, /more than 8 stages: .*\n.* policies\.adderTree=log2 takes as many as are needed/);
  assert.match(rows.err, /The ADC keeps its 5 bits at every array\.rows/);
  const masks = await sweep(temporaryFolder(t), '--vary', 'mask.rows=72,144');
  assert.match(masks.err, /share of columns off is assumed the same for segments of any rows/);
  assert.doesNotMatch(masks.err, /The ADC keeps/);
});

test('a trained run: its learned masks, its network and image size', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), { task: 'flowers', method: 'xbm', accuracy: 80 });
  const args = ['--run', run, '--vary', 'array.rows=36,72', '--json', '--pareto', 'maskBytes,xbmTotalJoules'];
  const { code, out, err } = await sweep(cwd, ...args);
  assert.equal(code, 0, err);
  assert.match(err, /published share of flowers, 4\.48 %/);
  assert.doesNotMatch(err, /is assumed the same/, 'its masks are known');
  const { points, scenario } = JSON.parse(out);
  assert.equal(points, 2);
  assert.deepEqual([scenario.run, scenario.task], [basename(run), 'flowers']);
  const refused = await sweep(cwd, '--run', run, '--vary', 'array.rows=64');
  assert.match(refused.err, /array\.rows=64: masks learned for segments of 72 rows cannot be priced/);
});

test('a run of a task of one’s own: Piggyback stays empty until a share is given', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), { task: 'folder', method: 'xbm', accuracy: 80 });
  const args = ['--run', run, '--vary', 'write.energyPerCell=1,10'];
  const { code, out, err } = await sweep(cwd, ...args, '--format', 'csv', '--out', 'points.parquet');
  assert.equal(code, 0, err);
  assert.match(err, /no share is published for folder.*--piggyback-share/);
  const [header, first] = out.split('\r\n').map((line) => line.split(','));
  const cell = (name: string) => first[header.indexOf(name)];
  assert.equal(cell('piggybackTotalJoules'), '');
  assert.ok(Number(cell('xbmTotalJoules')) > 0);
  const { parquetReadObjects } = await import('hyparquet');
  const bytes = readFileSync(join(cwd, 'points.parquet'));
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const [row] = await parquetReadObjects({ file: file as ArrayBuffer });
  assert.equal(row.piggybackTotalJoules, null);
  assert.match((await sweep(cwd, ...args)).out, /–/);
  const pareto = await sweep(cwd, ...args, '--pareto', 'arrays,piggybackTotalJoules');
  assert.match(pareto.err, /piggybackTotalJoules is unknown here\nGive --piggyback-share/);
  const given = await sweep(cwd, ...args, '--piggyback-share', '10', '--json');
  assert.ok(JSON.parse(given.out).front[0].piggybackTotalJoules > 0);
});

test('what a run has decided is neither ignored nor overridden', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), { task: 'flowers', method: 'xbm', accuracy: 80 });
  const cases: [string, RegExp][] = [
    ['--network resnet18', /--run and --network exclude each other/],
    ['--task cars', /--run and --task exclude each other/],
    ['--share-off 20', /--run and --share-off exclude each other/],
    ['--set precision.weightBits=8', /precision\.weightBits=8 contradicts the runs/],
    ['--vary precision.weightBits=4,8', /precision\.weightBits cannot be swept with learned masks/],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await sweep(cwd, '--run', run, '--vary', 'array.rows=72', ...args.split(' '));
    assert.equal(code, 2, args);
    assert.match(err, message, args);
  }
});

test('an axis that no total depends on is named', async (t) => {
  const { err } = await sweep(
    temporaryFolder(t),
    ...'--vary policies.wear=write,pulse --vary array.rows=72,144'.split(' '),
  );
  assert.match(err, /policies\.wear changes none of the totals/);
  assert.doesNotMatch(err, /array\.rows changes none/);
});

test('a mapped head has the classes of the task', async (t) => {
  const args = '--vary policies.head=mapped --set write.energyPerCell=80000 --json'.split(' ');
  const [point] = JSON.parse((await sweep(temporaryFolder(t), ...args)).out).front;
  // hw-report --shares published --set policies.head=mapped: 200 classes
  assert.ok(Math.abs(point.xbmTotalJoules - 0.1884) < 0.0001, String(point.xbmTotalJoules));
});

test('mistakes: exit code 2 and a way out', async (t) => {
  const cwd = temporaryFolder(t);
  const cases: [string, RegExp][] = [
    ['--vary array.rows=0', /array\.rows: expected at least 1 rows, found 0/],
    ['--vary array.rows=64 --task dogs', /no published shares of task "dogs"/],
    ['--vary array.rows=64 --pareto arrays', /expected two totals/],
    ['--vary array.rows=64 --pareto arrays,beauty', /no numeric column "beauty"/],
    ['--vary array.rows=64 --out points.xlsx', /ends in \.csv or \.parquet/],
    [
      '--vary policies.piggybackCells=all,digit-changes',
      /^xbm: policies\.piggybackCells=digit-changes needs the masks of a trained run/,
    ],
    [
      '--vary write.energyPerCell=1..10:99999 --vary mask.shareOff=1,2,3,4,5,6,7,8,9,10,11',
      /a sweep has at most 1,000,000/,
    ],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await sweep(cwd, ...args.split(' '));
    assert.equal(code, 2, args);
    assert.match(err, message, args);
  }
});
