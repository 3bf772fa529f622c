import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { paretoFront, type SweepResult } from '../../src/report/sweepResult.js';

const result = (columns: Record<string, readonly number[]>): SweepResult => ({
  points: Object.values(columns)[0].length,
  axes: [],
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
