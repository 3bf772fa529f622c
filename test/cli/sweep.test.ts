import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
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
  for (const bad of ['array.rows', '=1', 'a=', 'a=1,,2', 'a=1,1', 'a=5..1:3', 'a=0..1:3', 'a=1..2:1']) {
    assert.throws(() => parseAxis(bad), /--vary/, bad);
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
});

test('a trained run: its learned masks, its network and image size', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), { task: 'flowers', method: 'xbm', accuracy: 80 });
  const args = ['--run', run, '--vary', 'array.rows=36,72', '--json', '--pareto', 'maskBytes,xbmTotalJoules'];
  const { code, out, err } = await sweep(cwd, ...args);
  assert.equal(code, 0, err);
  assert.match(err, /published share of flowers, 4\.48 %/);
  assert.equal(JSON.parse(out).points, 2);
  const refused = await sweep(cwd, '--run', run, '--vary', 'array.rows=64');
  assert.match(refused.err, /array\.rows=64: masks learned for segments of 72 rows cannot be priced/);
});

test('mistakes: exit code 2 and a way out', async (t) => {
  const cwd = temporaryFolder(t);
  const cases: [string, RegExp][] = [
    ['--vary array.rows=0', /array\.rows\.value/],
    ['--vary array.rows=64 --task dogs', /no published shares of task "dogs"/],
    ['--vary array.rows=64 --pareto arrays', /expected two totals/],
    ['--vary array.rows=64 --pareto arrays,beauty', /no numeric column "beauty"/],
    ['--vary array.rows=64 --out points.xlsx', /ends in \.csv or \.parquet/],
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
