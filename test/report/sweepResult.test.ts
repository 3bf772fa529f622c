import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
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

for (const [format, write] of [
  ['csv', 'writeSweepCsv'],
  ['parquet', 'writeSweepParquet'],
]) {
  test(`points as ${format} that fit on the disk only in part are an error and leave no file`, async (t) => {
    const folder = temporaryFolder(t);
    const points = `{ points: 9999, axes: [], columns: new Map([['x', Float64Array.from({ length: 9999 }, (_, i) => 1 / (i + 3))]]) }`;
    const stderr = await runWithFileLimit(
      'src/report/sweepResult.js',
      `${write}(${JSON.stringify(join(folder, `points.${format}`))}, ${points})`,
    );
    assert.match(stderr, /larger than a file may be here/);
    assert.deepEqual(readdirSync(folder), []);
  });
}

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
