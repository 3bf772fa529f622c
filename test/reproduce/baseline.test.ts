import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { UserError } from '../../src/errors.js';
import { compareWithBaseline, readBaseline } from '../../src/reproduce/baseline.js';
import { type SummaryRow, summarizeRuns } from '../../src/reproduce/summary.js';
import { finish, folderWith, runsOf } from './fixtures.js';

const [run] = runsOf('name: a\ntasks: [flowers]\nmethods: [xbm]\n');

function row(accuracy: number, perImage: number, reprogramming = 1): SummaryRow {
  const energy = {
    energyPerImageMicrojoules: perImage,
    inferenceTestSetJoules: 1,
    reprogrammingJoules: reprogramming,
    totalJoules: 2,
    cellWritePicojoules: 80_000,
  };
  return summarizeRuns([finish(run, { accuracy })], new Map([[run.name, { chip: energy }]]))[0];
}

const compare = (now: SummaryRow[], before: SummaryRow[], tolerance = 0.5) =>
  compareWithBaseline(
    now,
    readBaseline(join(folderWith({ 'b.json': JSON.stringify({ rows: before }) }), 'b.json')),
    tolerance,
  );

test('within the tolerance, or better, nothing is worse', () => {
  assert.deepEqual(compare([row(50, 20)], [row(50, 20)], 0), []);
  assert.deepEqual(compare([row(49.5, 20.09)], [row(50, 20)]), []);
  assert.deepEqual(compare([row(60, 10, 0)], [row(50, 20)], 0), []);
});

test('what falls or rises by more is named with both values', () => {
  assert.deepEqual(compare([row(49.4, 20)], [row(50, 20)]), [
    'flowers xbm: accuracy fell from 50.00 to 49.40 %',
  ]);
  assert.deepEqual(compare([row(50, 20.2)], [row(50, 20)]), [
    'flowers xbm: energy per image on chip rose from 20.00 to 20.20 µJ',
  ]);
  assert.deepEqual(compare([row(50, 20, 1.1)], [row(50, 20)]), [
    'flowers xbm: reprogramming energy on chip rose from 1.000 to 1.100 J',
  ]);
  assert.deepEqual(compare([row(50, 20, 1)], [row(50, 20, 0)]).length, 1, 'from nothing to something');
});

test('a row or a preset that is gone is worse; a new one is not', () => {
  assert.match(compare([], [row(50, 20)])[0], /^flowers xbm: in the baseline, but without a result now/);
  assert.match(
    compare([{ ...row(50, 20), energy: {} }], [row(50, 20)])[0],
    /energies on chip, this result has none/,
  );
  const another: SummaryRow = { ...row(50, 20), method: 'piggyback' };
  assert.deepEqual(compare([row(50, 20), another], [row(50, 20)]), []);
});

test('a baseline from before variants had names is called that', () => {
  const now = ['a', 'b'].map((variant) => ({ ...row(50, 20), variant }));
  assert.deepEqual(compare(now, [row(50, 20), row(40, 20)]), [
    'flowers xbm: the baseline has no variant, the results now are a, b; make the baseline anew',
  ]);
  assert.match(compare(now.slice(1), [row(50, 20)])[0], /in the baseline, but without a result now/);
});

test('a file that is no summary is refused with its name', () => {
  const folder = folderWith({ 'a.json': 'no', 'b.json': '{"rows": [{"task": 1}]}', 'c.json': '[]' });
  for (const [name, expected] of [
    ['a.json', /a\.json: not JSON/],
    ['b.json', /b\.json: no summary of xbm reproduce: rows\.0\.task: expected text, found 1$/],
    ['c.json', /c\.json: no summary of xbm reproduce: the whole: expected a mapping, found a list$/],
  ] as const) {
    assert.throws(
      () => readBaseline(join(folder, name)),
      (error: UserError) => error instanceof UserError && expected.test(error.message),
    );
  }
});

test('a value that is no number, or missing, is named with what was found', () => {
  const refused = (accuracy?: string) => () =>
    compare([], [{ ...row(50, 20), accuracy: accuracy as unknown as number }]);
  assert.throws(refused('high'), /rows\.0\.accuracy: expected a number, found "high"$/m);
  assert.throws(refused(), /rows\.0\.accuracy: missing; expected a number$/m);
});

test('a baseline without rows is none: nothing could be worse', () => {
  assert.throws(
    () => compare([row(50, 20)], []),
    (error) => error instanceof UserError && /rows: it has no results to compare with/.test(error.message),
  );
});
