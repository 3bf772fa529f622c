import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadHardware, withOverrides } from '../../src/hardware/load.js';
import { crossbarNetwork, withHead } from '../../src/hardware/network.js';
import { type Axis, createSweep, type Scenario } from '../../src/hardware/sweep.js';
import { buildNetwork } from '../../src/model/networks.js';
import { hardwareReport } from '../../src/report/hardwareReport.js';
import { publishedResults } from '../../src/report/results.js';
import { randomMasks } from './random.js';

const network = crossbarNetwork(buildNetwork('resnet50', 1000), 224);
const hardware = loadHardware('nn-imc');
const cubs: Scenario = { shareOff: 0.375, piggybackShareOff: 0.1221, meanLevelChange: 1, testImages: 5794 };

const near = (a: number, b: number, what: string) =>
  assert.ok(Math.abs(a - b) <= 1e-9 * Math.max(Math.abs(a), Math.abs(b)), `${what}: ${a} and ${b}`);

test('every point equals the full report of the same description', () => {
  const choices: Axis[] = [
    { key: 'array.rows', values: [36, 72, 128] },
    { key: 'array.columns', values: [64, 72] },
    { key: 'array.cellBits', values: [1, 2, 4] },
    { key: 'array.adcBits', values: [4, 5, 8] },
    { key: 'policies.placement', values: ['arrays-per-digit', 'digits-side-by-side'] },
    { key: 'policies.adderTree', values: ['nn-imc', 'log2'] },
    { key: 'policies.gating', values: ['linear', 'by-component'] },
    { key: 'policies.unusedColumns', values: ['charged', 'idle'] },
    { key: 'policies.pipeline', values: ['layer-by-layer', 'layer-pipelined'] },
    { key: 'policies.peripherals', values: ['shared', 'per-layer'] },
    { key: 'policies.firstConvolution', values: ['as-others', 'pixel-bits'] },
    { key: 'policies.head', values: ['digital', 'mapped'] },
    { key: 'write.energyPerCell', values: [0.6, 80_000] },
  ];
  const sweep = createSweep(withHead(network, 200), hardware, choices, cubs);
  assert.equal(sweep.points, 3 * 2 * 3 * 3 * 2 ** 9);
  fc.assert(
    fc.property(fc.nat(sweep.points - 1), (point) => {
      const values = sweep.valuesAt(point);
      const chip = withOverrides(hardware, Object.fromEntries(choices.map(({ key }, i) => [key, values[i]])));
      const set = publishedResults(network, chip.array.rows.value);
      const results = set.results.filter(({ task }) => task === 'cubs');
      const report = hardwareReport(network, chip, { ...set, results });
      const totals = sweep.totalsAt(point);
      const { xbm, piggyback, finetune } = report.tasks.cubs.methods;
      assert.equal(totals.arrays, report.mapping.arrays);
      assert.equal(totals.activationsPerImage, report.mapping.activationsPerImage);
      near(totals.energyPerImageMicrojoules, report.energy.picojoules * 1e-6, 'energy');
      near(totals.xbmEnergyPerImageMicrojoules, xbm!.energyPerImageMicrojoules, 'XBM energy');
      near(totals.xbmTotalJoules, xbm!.totalJoules, 'XBM total');
      near(totals.piggybackTotalJoules!, piggyback!.totalJoules, 'Piggyback total');
      near(totals.finetuneReprogrammingJoules, finetune!.reprogrammingJoules, 'Finetune');
      near(totals.areaSquareMillimetres, report.area.squareMicrometres * 1e-6, 'area');
      near(totals.latencyMilliseconds, report.latency.microsecondsPerImage / 1000, 'latency');
      near(totals.imagesPerSecond, report.latency.imagesPerSecond, 'images/s');
      near(totals.utilisationPercent, 100 * report.mapping.utilisation, 'utilisation');
      assert.equal(totals.maskBytes, xbm!.memoryBytes.masks);
      near(totals.cellWritePicojoules, report.cellWritePicojoules, 'cell write');
    }),
    { numRuns: 40 },
  );
});

test('points do not depend on the order in which they are asked', () => {
  const axes: Axis[] = [
    { key: 'array.rows', values: [36, 72] },
    { key: 'mask.shareOff', values: [0, 50] },
  ];
  const forwards = createSweep(network, hardware, axes, cubs);
  const backwards = createSweep(network, hardware, axes, cubs);
  const first = [0, 1, 2, 3].map((point) => forwards.totalsAt(point));
  const second = [3, 2, 1, 0].map((point) => backwards.totalsAt(point)).reverse();
  assert.deepEqual(first, second);
  assert.deepEqual(forwards.valuesAt(2), [72, 0]);
  assert.equal(hardware.array.rows.value, 72);
});

test('mask geometry: coarser segments keep the share, finer ones only where all they cover is off', () => {
  const chip = loadHardware('nn-imc', ['policies.maskRemap=and']);
  const sweep = createSweep(network, chip, [{ key: 'mask.rows', values: [72, 144, 36] }], cubs);
  const [same, coarse, fine] = [0, 1, 2].map((point) => sweep.totalsAt(point));
  assert.equal(same.maskBytes, 42_496);
  assert.ok(coarse.maskBytes < same.maskBytes && fine.maskBytes > same.maskBytes);
  assert.ok(Math.abs(coarse.xbmSavingPercent - same.xbmSavingPercent) < 0.01);
  const squared = createSweep(network, chip, [], { ...cubs, shareOff: 0.375 ** 2 }).totalsAt(0);
  assert.ok(Math.abs(fine.xbmSavingPercent - squared.xbmSavingPercent) < 0.01);
  const strict = createSweep(network, hardware, [{ key: 'mask.rows', values: [36] }], cubs);
  assert.throws(() => strict.totalsAt(0), /mask segments of 36 rows cannot be priced on arrays of 72 rows/);
});

test('learned masks are swept where their geometry allows it, and refused elsewhere', () => {
  const small = crossbarNetwork(buildNetwork('cifar-resnet8', 10), 32);
  const masks = randomMasks({ ...small, layers: small.layers.filter(({ head }) => !head) }, 72, 0.4, 1);
  const gating = {
    kind: 'masks' as const,
    masks: Object.fromEntries(masks.map((mask, i) => [small.layers[i].name, mask])),
  };
  const scenario = { ...cubs, gating };
  const sweep = createSweep(small, hardware, [{ key: 'array.rows', values: [72, 36, 64] }], scenario);
  const report = hardwareReport(small, hardware, {
    source: 'test',
    assumptions: [],
    results: [{ ...publishedResults(small, 72).results[0], gating }],
  });
  near(
    sweep.totalsAt(0).xbmEnergyPerImageMicrojoules,
    report.tasks.cubs.methods.xbm!.energyPerImageMicrojoules,
    'learned masks',
  );
  assert.ok(sweep.totalsAt(1).xbmSavingPercent > 0);
  const bytes = Math.ceil(masks.reduce((sum, { bits }) => sum + bits.length, 0) / 8);
  assert.deepEqual([sweep.totalsAt(0).maskBytes, sweep.totalsAt(1).maskBytes], [bytes, bytes]);
  assert.throws(() => sweep.totalsAt(2), /72 rows cannot be priced on arrays of 64 rows/);
  for (const key of ['mask.shareOff', 'mask.rows', 'precision.weightBits']) {
    const axis = { key, values: [8] };
    assert.throws(() => createSweep(small, hardware, [axis], scenario), /cannot be swept with learned masks/);
  }
});

test('policies that need trained runs are refused as in a report; Piggyback of an unknown share stays unknown', () => {
  const pricing = (key: string, value: string, scenario = cubs) =>
    createSweep(network, hardware, [{ key: `policies.${key}`, values: [value] }], scenario).totalsAt(0);
  assert.throws(
    () => pricing('piggybackCells', 'digit-changes'),
    /digit-changes needs the masks of a trained run/,
  );
  assert.throws(
    () => pricing('finetuneCells', 'changed-cells'),
    /changed-cells needs the levels of a trained run/,
  );
  const unknown = pricing('piggybackCells', 'digit-changes', { ...cubs, piggybackShareOff: null });
  assert.equal(unknown.piggybackReprogrammingJoules, null);
  assert.equal(unknown.piggybackTotalJoules, null);
  assert.ok(unknown.xbmTotalJoules > 0 && unknown.finetuneTotalJoules > 0);
});

test('axes are checked once, by key and value', () => {
  const create = (...axes: Axis[]) => createSweep(network, hardware, axes, cubs);
  assert.throws(
    () => create({ key: 'array.rowz', values: [1] }),
    /--vary array\.rowz=1: .*unknown key; did you mean "array\.rows"/,
  );
  assert.throws(
    () => create({ key: 'array.rows', values: [0] }),
    /array\.rows: expected at least 1 rows, found 0/,
  );
  assert.throws(
    () => create({ key: 'policies.gating', values: ['linear', 'sometimes'] }),
    /policies\.gating/,
  );
  assert.throws(() => create({ key: 'mask.shareOff', values: [120] }), /per cent from 0 to 100/);
  assert.throws(
    () => create({ key: 'mask.columns', values: [1] }),
    /--vary mask\.columns: unknown key; .* mask\.rows and/,
  );
  const rows = { key: 'array.rows', values: [64] };
  assert.throws(() => create(rows, rows), /swept twice/);
  assert.throws(() => create({ key: 'name', values: ['other'] }), /cannot be swept/);
});
