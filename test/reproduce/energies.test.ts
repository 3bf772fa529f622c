import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadHardware } from '../../src/hardware/load.js';
import { chipsOf } from '../../src/report/experiment/chips.js';
import { energiesOf, priceRuns } from '../../src/reproduce/energies.js';
import type { FinishedRun } from '../../src/reproduce/finished.js';
import { groupUnpriced, summarizeRuns } from '../../src/reproduce/summary.js';
import { RunFolder } from '../../src/runs/runFolder.js';
import { type RunShape, randomBackbone, writeRun } from '../report/trainedRuns.js';
import { folderWith, runsOf } from './fixtures.js';

const cwd = folderWith({});
const presets = [loadHardware('nn-imc')];

/** A finished run; `changes` are made in its summary. */
async function finished(
  shape: Partial<RunShape>,
  variant: string | null = null,
  changes: object = {},
): Promise<FinishedRun> {
  const { method = 'xbm', seed = 0 } = shape;
  const path = await writeRun(cwd, randomBackbone(), { task: 'flowers', method, accuracy: 80, ...shape });
  const summaryPath = join(path, 'summary.json');
  const summary = { ...JSON.parse(readFileSync(summaryPath, 'utf8')), ...changes };
  writeFileSync(summaryPath, JSON.stringify(summary));
  const [planned] = runsOf(`name: a\ntasks: [flowers]\nmethods: [${method}]\nseeds: [${seed}]\n`);
  const name = `${method}-${variant}-s${seed}`;
  const timings = { trainingSeconds: 1, evaluationSeconds: 1, trainingImagesPerSecond: 1 };
  return { run: { ...planned, name, variant }, folder: new RunFolder(path), summary, timings };
}

test('a run that a preset cannot price costs the others nothing, and its reason is told', async () => {
  const runs = [
    await finished({ rows: 36 }, 'r36'),
    await finished({ rows: 36, method: 'finetune' }, 'r36'),
    await finished({}, 'r72'),
    await finished({ seed: 1 }, 'r72'),
    await finished({ method: 'piggyback' }, 'fp', { weightBits: 32 }),
  ];
  const pricing = await priceRuns(runs, presets);
  const energies = energiesOf(pricing);
  assert.deepEqual([...energies.keys()].sort(), ['finetune-r36-s0', 'xbm-r72-s0', 'xbm-r72-s1']);
  assert.equal(energies.get('xbm-r72-s0')!['nn-imc'].cellWritePicojoules, 80_000);
  const [rows, full] = groupUnpriced(pricing.unpriced);
  assert.deepEqual([rows.preset, rows.runs], ['nn-imc', ['xbm-r36-s0']]);
  assert.match(rows.reason, /segments of 36 rows .*maskRemap=and/s);
  assert.deepEqual(full.runs, ['piggyback-fp-s0']);
  assert.match(full.reason, /which no crossbar holds/);
  const summary = summarizeRuns(runs, energies);
  assert.deepEqual(
    summary.map(({ variant, energy }) => [variant, Object.keys(energy)]),
    [
      ['r36', []],
      ['r36', ['nn-imc']],
      ['r72', ['nn-imc']],
      ['fp', []],
    ],
  );
});

test('a row one of whose seeds has no price has none', async () => {
  const runs = [await finished({ seed: 3 }), await finished({ seed: 4 }, null, { activationBits: 32 })];
  const [row] = summarizeRuns(runs, energiesOf(await priceRuns(runs, presets)));
  assert.deepEqual([row.seeds, row.energy], [[3, 4], {}]);
});

test('results of one task on different test images are priced apart', async () => {
  const runs = [
    await finished({ seed: 5 }),
    await finished({ seed: 5, method: 'piggyback' }, null, { testImages: 10 }),
  ];
  const pricing = await priceRuns(runs, presets);
  assert.deepEqual(pricing.unpriced, []);
  const joules = runs.map(({ run }) => energiesOf(pricing).get(run.name)!['nn-imc'].inferenceTestSetJoules);
  assert.ok(joules[0] > 2 * joules[1], joules.join());
});

test('the chip names the seed and variant whose masks it shows: those of most runs', async () => {
  const runs = [
    await finished({ seed: 6 }, 'a'),
    await finished({ seed: 7 }, 'b'),
    await finished({ seed: 7, method: 'finetune' }, 'b'),
  ];
  const [chip, ...others] = chipsOf((await priceRuns(runs, presets)).groups);
  assert.equal(chip.runs, 'seed 7, b');
  assert.deepEqual(others, []);
});
