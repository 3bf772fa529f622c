import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accuracyTable, shareOffTable } from '../../../src/report/experiment/accuracyTables.js';
import { energyTable, memoryTable } from '../../../src/report/experiment/costTables.js';
import { resultTables, supportingTables } from '../../../src/report/experiment/experimentTables.js';
import { resultTableToCsv, resultTableToMarkdown } from '../../../src/report/experiment/formats.js';
import { groupRuns } from '../../../src/report/experiment/groups.js';
import {
  printedCells,
  type ResultCell,
  type ResultTable,
} from '../../../src/report/experiment/resultTable.js';
import type { Spread } from '../../../src/report/experiment/statistics.js';
import { syntheticReport } from './syntheticReport.js';

const paper = await syntheticReport({ network: 'resnet50', fullPrecision: true });
const groups = groupRuns(paper);

function rowOf(table: ResultTable, task: string, method: string, precision = '4-bit'): readonly ResultCell[] {
  const row = table.rows.find(({ cells }) => [task, method, precision].every((text, i) => cells[i] === text));
  assert.ok(row, `${table.id} lacks ${task} ${method} ${precision}`);
  return row.cells;
}

function columnOf(table: ResultTable, key: string): number {
  const index = table.columns.findIndex((column) => column.key === key);
  assert.ok(index >= 0, `${table.id} lacks the column ${key}`);
  return index;
}

test('tasks and methods stand in the order of the runs, seeds together', () => {
  assert.deepEqual(
    groups.filter(({ precision }) => precision === '4-bit').map(({ task, method }) => `${task} ${method}`),
    ['sketches', 'flowers', 'cubs'].flatMap((task) =>
      ['xbm', 'classifier', 'piggyback', 'finetune'].map((method) => `${task} ${method}`),
    ),
  );
  assert.equal(groups.length, 15);
  assert.deepEqual(
    groups[0].runs.map(({ summary }) => summary.seed),
    [0, 1],
  );
});

test('accuracy is the mean over seeds, the difference its distance to the published one', () => {
  const table = accuracyTable(groups);
  const cells = rowOf(table, 'cubs', 'xbm');
  const runs = paper.runs.filter(({ summary }) => summary.task === 'cubs' && summary.method === 'xbm');
  const [a, b] = runs.map(({ summary }) => summary.accuracy);
  const own = cells[columnOf(table, 'accuracyPercent')] as Spread;
  assert.ok(Math.abs(own.mean - (a + b) / 2) < 1e-9);
  assert.ok(Math.abs(own.deviation! - Math.abs(a - b) / Math.SQRT2) < 1e-9);
  assert.equal(cells[columnOf(table, 'publishedAccuracyPercent')], 75.53);
  assert.ok(Math.abs((cells[columnOf(table, 'differencePoints')] as number) - (own.mean - 75.53)) < 1e-9);
});

test('full precision is compared with full precision', () => {
  const table = accuracyTable(groups);
  const column = columnOf(table, 'publishedAccuracyPercent');
  assert.equal(rowOf(table, 'cubs', 'piggyback')[column], 74.47);
  assert.equal(rowOf(table, 'cubs', 'piggyback', 'full precision')[column], 81.77);
});

test('unlike data get no difference and a reason', () => {
  const table = accuracyTable(groups);
  const cells = rowOf(table, 'sketches', 'xbm');
  assert.equal(cells[columnOf(table, 'publishedAccuracyPercent')], 76.95);
  assert.equal(cells[columnOf(table, 'differencePoints')], null);
  assert.ok(
    table.notes.some((note) => /sketches: 40 of 250 classes; 2,560\/639 train\/test images/.test(note)),
  );
});

test('share off stands next to the authors’ own', () => {
  const table = shareOffTable(groups)!;
  const column = columnOf(table, 'publishedShareOffPercent');
  assert.equal(rowOf(table, 'flowers', 'xbm')[column], 31.92);
  const bit = columnOf(table, 'granularity');
  assert.equal(rowOf(table, 'flowers', 'xbm')[bit], 'per column of 72 rows');
  assert.equal(rowOf(table, 'flowers', 'piggyback')[bit], 'per element');
  assert.equal(rowOf(table, 'flowers', 'piggyback')[column], 4.48);
  assert.ok(!table.rows.some(({ method }) => method === 'finetune' || method === 'classifier'));
});

test('energies: the total is reprogramming and inference, ratios are to XBM', () => {
  const table = energyTable(groups, paper.chips[0], 'energy')!;
  const value = (cells: readonly ResultCell[], key: string) => (cells[columnOf(table, key)] as Spread).mean;
  for (const { cells } of table.rows) {
    const sum = value(cells, 'inferenceTestSetJoules') + value(cells, 'reprogrammingJoules');
    assert.ok(Math.abs(sum - value(cells, 'totalJoules')) < 1e-12);
  }
  const xbm = rowOf(table, 'cubs', 'xbm');
  const piggyback = rowOf(table, 'cubs', 'piggyback');
  assert.equal(xbm[columnOf(table, 'ratioToXbm')], 1);
  const ratio = value(piggyback, 'totalJoules') / value(xbm, 'totalJoules');
  assert.equal(piggyback[columnOf(table, 'ratioToXbm')], ratio);
  // The unmasked ResNet-50 of shared/reference: 30.17 µJ per image.
  assert.equal(value(rowOf(table, 'cubs', 'finetune'), 'energyPerImageMicrojoules').toFixed(2), '30.17');
  assert.ok(!table.rows.some(({ cells }) => cells[2] === 'full precision'), 'full precision has no cells');
});

test('every reprogramming figure has its write energy and source beside it', () => {
  const energies = energyTable(groups, paper.chips[0], 'energy')!;
  const cells = rowOf(energies, 'cubs', 'piggyback');
  assert.equal(cells[columnOf(energies, 'cellWritePicojoules')], 80_000);
  assert.match(String(cells[columnOf(energies, 'cellWriteSource')]), /NN-IMC/);
  assert.match(resultTableToCsv(energies), /,cellWritePicojoules,cellWriteSource\r\n/);
  assert.doesNotMatch(
    resultTableToMarkdown(energies),
    /per cell write \(pJ\)/,
    'people have it in the notes',
  );
  assert.ok(energies.notes.some((note) => /^80 nJ per cell write \(.*NN-IMC/.test(note)));
  const sweep = supportingTables(paper).find(({ id }) => id === 'sensitivity-reprogramming')!;
  const column = columnOf(sweep, 'cubs / piggyback');
  const [cheapest, ...rest] = sweep.rows.map(({ cells: row }) => row[column] as number);
  assert.ok(Math.abs(rest.at(-1)! / cheapest - 80_000 / 0.22) < 1e-3 * (80_000 / 0.22));
  const joules = (cells[columnOf(energies, 'reprogrammingJoules')] as Spread).mean;
  assert.ok(Math.abs(rest.at(-1)! / joules - 1) < 0.2, 'seeds differ in their shares');
});

test('XBM’s masks of ResNet-50 are 42.5 kB, 1.45 % of Piggyback’s', () => {
  const table = memoryTable(groups);
  const cells = rowOf(table, 'cubs', 'xbm');
  assert.equal((cells[columnOf(table, 'maskKilobytes')] as number).toFixed(1), '42.5');
  assert.equal((cells[columnOf(table, 'percentOfElementMasks')] as number).toFixed(2), '1.45');
  assert.ok(table.notes.some((note) => note.includes('40 KB')));
  const small = groups.map((group) => ({
    ...group,
    runs: group.runs.map((run) => ({ ...run, summary: { ...run.summary, maskBytes: 478 } })),
  }));
  const printed = printedCells(memoryTable(small)).find(
    ([task, method]) => task === 'cubs' && method === 'xbm',
  )!;
  assert.equal(printed[columnOf(table, 'maskKilobytes')], '0.478');
});

test('the rows of area and energy add up to their totals', () => {
  for (const id of ['area', 'energy-components']) {
    const table = supportingTables(paper).find((candidate) => candidate.id === id)!;
    const total = table.rows.at(-1)!;
    assert.equal(total.total, true);
    for (const [i] of table.columns.entries()) {
      const numbers = table.rows
        .slice(0, -1)
        .flatMap(({ cells }) => (typeof cells[i] === 'number' ? [cells[i]] : []));
      const sum = total.cells[i];
      if (typeof sum !== 'number') continue;
      assert.ok(
        Math.abs(numbers.reduce((a, b) => a + b, 0) - sum) < 1e-6 * sum,
        `${id}: ${table.columns[i].key}`,
      );
    }
  }
});

test('a method is not compared with the XBM of another variant because its own has no price', () => {
  const runs = ['a', 'b'].flatMap((variant) =>
    paper.runs.map((run) => ({
      ...run,
      variant,
      costs: variant === 'a' && run.summary.method === 'xbm' ? [] : run.costs,
    })),
  );
  const table = energyTable(groupRuns({ runs, missing: [] }), paper.chips[0], 'energy')!;
  const column = columnOf(table, 'ratioToXbm');
  assert.equal(rowOf(table, 'cubs', 'piggyback (a)')[column], null);
  assert.ok((rowOf(table, 'cubs', 'piggyback (b)')[column] as number) > 1);
});

test('what one set of runs speaks for names them', () => {
  for (const id of ['energy-components', 'claims']) {
    const table = supportingTables(paper).find((candidate) => candidate.id === id)!;
    assert.ok(table.notes.includes('With masks: runs of seed 1.'), id);
  }
});

test('results on other test images are not compared with XBM’s', () => {
  const runs = paper.runs.map((run) =>
    run.summary.method === 'piggyback' ? { ...run, summary: { ...run.summary, testImages: 10 } } : run,
  );
  const table = energyTable(groupRuns({ runs, missing: [] }), paper.chips[0], 'energy')!;
  const column = columnOf(table, 'ratioToXbm');
  assert.equal(rowOf(table, 'cubs', 'piggyback')[column], null);
  assert.ok((rowOf(table, 'cubs', 'finetune')[column] as number) > 1);
});

test('two runs with one seed are refused by name', () => {
  const [first] = paper.runs;
  assert.throws(
    () => groupRuns({ runs: [first, { ...first, folder: 'runs/other' }], missing: [] }),
    /two runs of task .* seed 1: runs\/.* and runs\/other/,
  );
});

test('missing runs are listed, also alone', () => {
  const missing = [
    {
      task: 'cars',
      method: 'xbm' as const,
      variant: 'r36',
      seed: 0,
      reason: 'interrupted',
      command: 'xbm train --task cars',
    },
  ];
  const table = resultTables({ ...paper, missing }).at(-1)!;
  assert.equal(table.id, 'missing');
  assert.deepEqual(table.rows[0].cells.slice(0, 3), ['cars', 'xbm (r36)', 0]);
  const alone = resultTables({ ...paper, runs: [], chips: [], missing });
  assert.deepEqual(
    alone.map(({ id }) => id),
    ['missing'],
  );
});

test('named variants are groups of their own', () => {
  const [first] = paper.runs;
  const runs = ['low', 'high'].map((variant) => ({ ...first, variant }));
  const labels = groupRuns({ runs, missing: [] }).map(({ label }) => label);
  assert.deepEqual(labels, ['xbm (low)', 'xbm (high)']);
});

test('a run priced on two chips stands in two energy tables', () => {
  const [chip] = paper.chips;
  const slides = { ...chip, id: 'the slides' };
  const runs = paper.runs.map((run) => ({
    ...run,
    costs: run.costs.flatMap((cost) => [
      cost,
      { ...cost, chip: slides.id, totalJoules: 2 * cost.totalJoules },
    ]),
  }));
  const tables = resultTables({ ...paper, runs, chips: [chip, slides] });
  const ids = tables.map(({ id }) => id).filter((id) => id.startsWith('energy'));
  assert.deepEqual(ids, ['energy-resnet50-at-224x224-on-nn-imc-4-bit', 'energy-the-slides']);
  const [one, two] = ids.map((id) => tables.find((table) => table.id === id)!);
  const column = columnOf(one, 'totalJoules');
  const [a, b] = [one, two].map((table) => rowOf(table, 'cubs', 'piggyback')[column] as Spread);
  assert.ok(Math.abs(b.mean - 2 * a.mean) < 1e-12);
});
