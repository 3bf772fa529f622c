import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadHardware } from '../../src/hardware/load.js';
import { type CrossbarNetwork, crossbarNetwork } from '../../src/hardware/network.js';
import { buildNetwork } from '../../src/model/networks.js';
import { checkClaims } from '../../src/report/claims.js';
import { hardwareJson } from '../../src/report/hardwareJson.js';
import { hardwareReport } from '../../src/report/hardwareReport.js';
import { hardwareTables } from '../../src/report/hardwareTables.js';
import { reportMarkdown } from '../../src/report/markdown.js';
import { publishedResults, type TaskResult } from '../../src/report/results.js';
import { tableToCsv } from '../../src/report/table.js';
import { resultsTable } from '../../src/report/taskTables.js';

const resnet50 = crossbarNetwork(buildNetwork('resnet50', 1000), 224);
const published = (...overrides: string[]) =>
  hardwareReport(resnet50, loadHardware('nn-imc', overrides), publishedResults(resnet50, 72));

test('published shares: the shape of the JSON, and totals that add up', () => {
  const json = hardwareJson(published());
  assert.equal(json.network, 'resnet50');
  assert.equal(json.arrays, 10326);
  assert.equal(json.arrayActivationsPerImage, 1870134);
  assert.deepEqual(Object.keys(json.tasks), ['cubs', 'cars', 'flowers', 'wikiart', 'sketches']);
  for (const { methods, testImages } of Object.values(json.tasks)) {
    assert.deepEqual(Object.keys(methods), ['xbm', 'piggyback', 'finetune']);
    assert.equal(methods.xbm!.reprogrammingJoules, 0);
    for (const costs of Object.values(methods)) {
      const rows = Object.values(costs.energyRowsMicrojoules).reduce((a, b) => a + b, 0);
      assert.ok(Math.abs(rows - costs.energyPerImageMicrojoules) < 1e-9);
      assert.ok(
        Math.abs(costs.inferenceTestSetJoules - rows * 1e-6 * testImages) <
          1e-9 * costs.inferenceTestSetJoules,
      );
      assert.equal(costs.totalJoules, costs.inferenceTestSetJoules + costs.reprogrammingJoules);
      const { total, ...parts } = costs.memoryBytes;
      assert.equal(
        total,
        Object.values(parts).reduce((a, b) => a + b, 0),
      );
    }
  }
  assert.equal(json.tasks.cubs.methods.xbm!.memoryBytes.masks, 42_496);
  assert.doesNotThrow(() => JSON.parse(JSON.stringify(json)));
});

test('every table with a total adds up to it, and says where its numbers come from', () => {
  const tables = hardwareTables(published(), true);
  for (const id of ['energy-components', 'area']) {
    const { rows } = tables.find((table) => table.id === id)!;
    const total = rows.at(-1)!;
    total.forEach((cell, column) => {
      if (typeof cell !== 'number') return;
      const sum = rows.slice(0, -1).reduce((a, row) => a + ((row[column] as number | null) ?? 0), 0);
      assert.ok(Math.abs(sum - cell) < 1e-9 * cell, `${id}, column ${column}`);
    });
  }
  assert.equal(new Set(tables.map(({ id }) => id)).size, tables.length);
  const constants = tables.find(({ id }) => id === 'constants')!;
  for (const [key, , unit, source] of constants.rows) {
    assert.ok(unit, `${key}: unit`);
    assert.ok(
      constants.notes.some((note) => note.startsWith(`${source}: `)),
      `${key}: ${source} is not explained`,
    );
  }
});

test('claims: what the model reproduces and what not, with its own numbers', () => {
  const claims = checkClaims(published());
  assert.deepEqual(
    claims.map(({ verdict }) => verdict),
    ['not reproduced', 'reproduced', 'reproduced', 'consistent with our reading'],
  );
  const [energy, percent, bytes, ratio] = claims.map(({ values }) => values);
  assert.ok(Math.abs(energy.savingPerImagePercent - 31.8) < 0.1);
  assert.ok(Math.abs(energy.savingInArraysPercent - 40.18) < 0.01);
  assert.ok(Math.abs(percent.percent - 1.449) < 0.001);
  assert.equal(bytes.bytes, 42_496);
  assert.ok(Math.abs(ratio.meanRatioToInference - 4.335) < 0.005);
  assert.ok(Math.abs(ratio.meanRatioToXbm - 6.2) < 0.01);
  const resnet18 = crossbarNetwork(buildNetwork('resnet18', 1000), 224);
  const other = hardwareReport(resnet18, loadHardware('nn-imc'), publishedResults(resnet18, 72));
  assert.ok(checkClaims(other).every(({ verdict }) => verdict === 'not applicable'));
});

test('the page warns of fixed energies and of the write energy, and lists assumptions', () => {
  const page = reportMarkdown(published());
  assert.match(page, /fixed energy.*28 %/);
  assert.match(page, /80 nJ per cell/);
  assert.match(page, /every weight moves by 1 level .* our assumption/);
  assert.match(page, /sparsity_ksm/);
  assert.match(page, /not absolute chip energies/);
  assert.match(page, /not reproduced/);
  assert.match(
    reportMarkdown(published('array.rows=128')),
    /differs from the one the constants were published for/,
  );
  // Nothing is scaled by the bits of a cell.
  const cells = reportMarkdown(published('array.cellBits=4'));
  assert.match(cells, /Cells hold 4 bits, the constants were published for 2/);
  assert.doesNotMatch(cells, /The array differs from the one/);
});

test('wear of an assumed mean level change: the worst cell is unknown, the average one is not', () => {
  const { rows, notes } = hardwareTables(published()).find(({ id }) => id === 'wear')!;
  assert.deepEqual(
    rows.slice(0, 3).map((row) => row.slice(4)),
    [
      ['no limit', 'no limit'],
      [1_000_000, 8_190_008],
      ['unknown', 1_000_000],
    ],
  );
  assert.match(notes.join('\n'), /Piggyback changes is written once/);
  const { rows: mapped } = hardwareTables(published('policies.head=mapped')).find(({ id }) => id === 'wear')!;
  assert.equal(mapped[2][4], 'unknown');
});

test('whatever is rewritten is swept over the write energies; where nothing is, no table is referred to', () => {
  const all = publishedResults(resnet50, 72);
  const of = (...methods: string[]) => {
    const results = all.results.filter(({ method }) => methods.includes(method));
    const report = hardwareReport(resnet50, loadHardware('nn-imc'), { ...all, results });
    const ids = hardwareTables(report).flatMap(({ id }) => (id.startsWith('sensitivity-') ? [id] : []));
    return { ids, refers: reportMarkdown(report).includes('see the sensitivity tables'), report };
  };
  assert.deepEqual([of('xbm').ids, of('xbm').refers], [[], false]);
  const { ids, refers, report } = of('piggyback');
  assert.deepEqual([ids, refers], [['sensitivity-reprogramming', 'sensitivity-switching'], true]);
  const { rows } = hardwareTables(report).find(({ id }) => id === 'sensitivity-reprogramming')!;
  assert.deepEqual(
    [rows.at(-1)![0], rows.at(-1)![1]],
    ['80 nJ', report.tasks.cubs.methods.piggyback!.reprogrammingJoules],
  );
  assert.equal(of('xbm', 'piggyback').ids.length, 4);
});

test('published shares on another network or array are assumptions, its accuracies unknown', () => {
  const resnet18 = crossbarNetwork(buildNetwork('resnet18', 1000), 224);
  const set = publishedResults(resnet18, 64);
  assert.ok(set.results.every(({ accuracy }) => accuracy === null));
  assert.match(set.assumptions.join('\n'), /published for ResNet-50 and are assumed for resnet18/);
  assert.match(set.assumptions.join('\n'), /segments of 72 rows and are assumed for 64/);
  assert.equal(publishedResults(resnet50, 72).assumptions.length, 4);
});

test('a mapped head makes every method write it', () => {
  const { tasks } = published('policies.head=mapped');
  const { xbm, piggyback } = tasks.cubs.methods;
  assert.equal(xbm!.cellsWritten, 2048 * 200 * 2);
  assert.ok(piggyback!.cellsWritten > xbm!.cellsWritten);
});

test('a mapped head: every task is compared with its own head without masks, on a chip for the largest head', () => {
  const mapped = published('policies.head=mapped');
  const digital = published();
  for (const [task, { methods }] of Object.entries(mapped.tasks)) {
    const { xbm, piggyback, finetune } = methods;
    for (const costs of [piggyback!, finetune!]) {
      assert.equal(costs.energyPerImageMicrojoules, costs.withoutMasks.energyPerImageMicrojoules, task);
    }
    // The head is never masked: XBM saves the same energy, of a larger sum.
    const saved = (costs: typeof xbm) =>
      costs!.withoutMasks.energyPerImageMicrojoules - costs!.energyPerImageMicrojoules;
    assert.ok(Math.abs(saved(xbm) - saved(digital.tasks[task].methods.xbm)) < 1e-9, task);
  }
  const table = (id: string) => hardwareTables(mapped).find((found) => found.id === id)!;
  assert.deepEqual(
    table('saving-per-image').rows.map((row) => row.slice(2)),
    Array(5).fill([0, 0]),
  );
  assert.match(table('energy-per-image').notes[0], /Without masks: 30\.18 µJ\./);
  assert.deepEqual(table('energy-components').header.slice(1, 3), ['cubs no masks', 'cubs xbm']);
  // 2048 inputs in 29 segments; 250 classes of two digits: 4 arrays of 72 columns each
  assert.equal(mapped.mapping.arrays, 10_326 + 29 * 4 * 2);
});

test('switching is symmetric for masks, zero on the diagonal, and starts with the backbone', () => {
  const { switching } = published();
  const { states, joules } = switching.piggyback!;
  assert.equal(states[0], 'backbone');
  joules.forEach((row, i) => {
    assert.equal(row[i], 0);
    for (const [j, value] of row.entries()) assert.ok(Math.abs(value - joules[j][i]) < 1e-12);
  });
  assert.ok(switching.xbm!.joules.flat().every((value) => value === 0));
});

const tiny: CrossbarNetwork = {
  network: 'tiny',
  input: '8×8',
  layers: [
    { name: 'a', kind: 'conv', rows: 72, outputs: 72, groups: 1, positions: 100, first: true, head: false },
    { name: 'b', kind: 'conv', rows: 720, outputs: 72, groups: 1, positions: 1, first: false, head: false },
  ],
  batchNormChannels: 144,
  headFeatures: 72,
};
const result: TaskResult = {
  task: 'toy',
  method: 'xbm',
  source: 'test',
  accuracy: 90,
  testImages: 10,
  classes: 4,
  trainsBatchNorm: true,
  maskBits: 72 + 720,
  shareOff: (100 * 720) / 792,
  gating: {
    kind: 'masks',
    masks: {
      a: { rowsPerBit: 72, bits: new Uint8Array(72).fill(1) },
      b: { rowsPerBit: 72, bits: new Uint8Array(720) },
    },
  },
  stored: { kind: 'backbone' },
};

test('real masks and an even share differ: here all that is off hardly ever runs', () => {
  const set = { source: 'test', results: [result], assumptions: [] };
  const report = hardwareReport(tiny, loadHardware('nn-imc'), set);
  const costs = report.tasks.toy.methods.xbm!;
  assert.ok(costs.energyPerImageMicrojoules > 3 * costs.uniformShareEnergyPerImageMicrojoules!);
  const table = hardwareTables(report).find(({ id }) => id === 'uniform-share')!;
  assert.equal(table.rows[0][3], costs.energyPerImageMicrojoules);
});

test('two results of one task and method, or of different data, are named errors', () => {
  const chip = loadHardware('nn-imc');
  const report = (other: Partial<TaskResult>) =>
    hardwareReport(tiny, chip, {
      source: 'test',
      results: [result, { ...result, ...other }],
      assumptions: [],
    });
  assert.throws(() => report({}), /two results of task toy with method xbm/);
  assert.throws(
    () => report({ method: 'piggyback', testImages: 11 }),
    /different data: 11 and 10 test images/,
  );
});

test('missing accuracy and missing methods are dashes, not gaps', () => {
  const results: TaskResult[] = [
    { ...result, accuracy: null },
    {
      ...result,
      task: 'other',
      method: 'piggyback',
      gating: { kind: 'none' },
      stored: { kind: 'masked-share', shareOff: 0.1 },
    },
  ];
  const report = hardwareReport(tiny, loadHardware('nn-imc'), { source: 'test', results, assumptions: [] });
  const accuracy = hardwareTables(report).find(({ id }) => id === 'accuracy')!;
  assert.deepEqual(accuracy.rows, [
    ['toy', null, null],
    ['other', null, 90],
  ]);
  assert.equal(report.tasks.other.methods.piggyback!.ratioToXbm, null);
  const csv = tableToCsv(resultsTable(report)).split('\r\n');
  assert.equal(csv.length, 4);
  const { header, rows } = resultsTable(report);
  assert.ok(rows.every((row) => row.length === header.length));
});
