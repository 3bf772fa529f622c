import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadHardware } from '../../src/hardware/load.js';
import { crossbarNetwork } from '../../src/hardware/network.js';
import { createSweep } from '../../src/hardware/sweep.js';
import { buildNetwork } from '../../src/model/networks.js';
import {
  evaluateSweep,
  paretoFront,
  pointCells,
  type SweepResult,
  writeSweepCsv,
} from '../../src/report/sweepResult.js';
import { runWithFileLimit } from '../runs/fileLimit.js';
import { temporaryFolder } from '../runs/fixtures.js';

const result = (columns: Record<string, readonly number[]>): SweepResult => ({
  points: Object.values(columns)[0].length,
  axes: [],
  idleAxes: [],
  columns: new Map(Object.entries(columns).map(([name, values]) => [name, Float64Array.from(values)])),
});

test('the front holds exactly one of each undominated pair of values', () => {
  const value = fc.integer({ min: 0, max: 9 });
  fc.assert(
    fc.property(fc.array(fc.tuple(value, value), { minLength: 1, maxLength: 40 }), (points) => {
      const sweep = result({ x: points.map(([x]) => x), y: points.map(([, y]) => y) });
      const front = paretoFront(sweep, 'x', 'y').map((i) => points[i].join());
      const undominated = points.filter(
        ([x, y]) => !points.some(([a, b]) => a <= x && b <= y && (a < x || b < y)),
      );
      assert.deepEqual([...front].sort(), [...new Set(undominated.map((point) => point.join()))].sort());
    }),
  );
});

test('more images per second and more saving are better', () => {
  const sweep = result({ imagesPerSecond: [1, 2, 3], xbmSavingPercent: [30, 20, 10] });
  assert.deepEqual(paretoFront(sweep, 'imagesPerSecond', 'xbmSavingPercent'), [2, 1, 0]);
});

test('the CSV has one header and every point, over all pieces', async (t) => {
  const file = join(temporaryFolder(t), 'points.csv');
  const x = Array.from({ length: 20_001 }, (_, i) => i);
  await writeSweepCsv(file, result({ x }));
  assert.equal(readFileSync(file, 'utf8'), `${['x', ...x].join('\r\n')}\r\n`);
});

test('a CSV that fits on the disk only in part is an error and leaves no file', async (t) => {
  const file = join(temporaryFolder(t), 'points.csv');
  const stderr = await runWithFileLimit(
    'src/report/sweepResult.js',
    `writeSweepCsv(${JSON.stringify(file)}, { points: 9999, axes: [], columns: new Map([['x', new Float64Array(9999).fill(0.123456789)]]) })`,
  );
  assert.match(stderr, /EFBIG/);
  assert.equal(existsSync(file), false);
});

test('axes on which no total depends are found, wherever they stand', () => {
  const axes = [
    { key: 'policies.wear', values: ['write', 'pulse'] },
    { key: 'array.rows', values: [36, 72, 144] },
    { key: 'write.endurance', values: [1e5, 1e6] },
    { key: 'energy.adc', values: [8.3] },
  ];
  const network = crossbarNetwork(buildNetwork('cifar-resnet8', 10), 32);
  const scenario = { shareOff: 0.3, piggybackShareOff: null, meanLevelChange: 1, testImages: 10 };
  const result = evaluateSweep(createSweep(network, loadHardware('nn-imc'), axes, scenario));
  assert.deepEqual(result.idleAxes, ['policies.wear', 'write.endurance']);
  const cells = pointCells(result, 0);
  const piggyback = [...result.columns.keys()].indexOf('piggybackTotalJoules');
  assert.equal(cells[piggyback], null, 'an unknown total is no number');
  assert.throws(
    () => paretoFront(result, 'arrays', 'piggybackTotalJoules'),
    /piggybackTotalJoules is unknown/,
  );
});
