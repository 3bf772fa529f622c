import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, test } from 'node:test';
import { maskFigure } from '../../../src/report/experiment/maskFigure.js';
import { writeExperimentReport } from '../../../src/report/experiment/write.js';
import { renderPng } from '../../../src/report/render.js';
import { syntheticReport } from './syntheticReport.js';

const root = mkdtempSync(join(tmpdir(), 'xbm-report-'));
after(() => rmSync(root, { recursive: true, force: true }));

test('the same results give the same bytes, in whatever order the seeds come', async () => {
  const report = await syntheticReport({ tasks: ['flowers', 'quickdraw'], pictures: true });
  const [a, b] = [join(root, 'a'), join(root, 'b')];
  const first = await writeExperimentReport(report, a);
  const again = await syntheticReport({ tasks: ['flowers', 'quickdraw'], pictures: true });
  const bySeed = again.runs.toSorted((one, other) => one.summary.seed - other.summary.seed);
  assert.notDeepEqual(bySeed, again.runs);
  const second = await writeExperimentReport({ ...again, runs: bySeed }, b);
  const names = first.map((file) => relative(a, file));
  assert.deepEqual(
    second.map((file) => relative(b, file)),
    names,
  );
  for (const name of names) {
    assert.ok(readFileSync(join(a, name)).equals(readFileSync(join(b, name))), `${name} differs`);
  }
  for (const name of [
    'report.html',
    'report.md',
    'report.json',
    'tables.tex',
    join('tables', 'accuracy.csv'),
    join('tables', 'training-curves.csv'),
    join('tables', 'share-off-per-layer.csv'),
    join('figures', 'accuracy.svg'),
    join('figures', 'accuracy.png'),
    join('figures', 'energy-per-image.svg'),
    join('figures', 'reprogramming-and-inference.svg'),
    join('figures', 'area.svg'),
    join('figures', 'training-quickdraw.svg'),
    join('figures', 'share-off-per-layer-flowers.png'),
    join('figures', 'masks-flowers-xbm-4-bit-s0.png'),
  ]) {
    assert.ok(names.includes(name), `${name} is missing`);
  }
});

test('figures of an earlier report go, other files stay', async () => {
  const folder = join(root, 'stale');
  mkdirSync(join(folder, 'figures'), { recursive: true });
  writeFileSync(join(folder, 'figures', 'training-gone.svg'), 'old');
  writeFileSync(join(folder, 'figures', 'notes.txt'), 'mine');
  writeFileSync(join(folder, 'summary.json'), '{}');
  const report = await syntheticReport({ tasks: ['flowers'], methods: ['classifier'], seeds: [0] });
  await writeExperimentReport(report, folder);
  assert.ok(!existsSync(join(folder, 'figures', 'training-gone.svg')));
  assert.equal(readFileSync(join(folder, 'figures', 'notes.txt'), 'utf8'), 'mine');
  assert.equal(readFileSync(join(folder, 'summary.json'), 'utf8'), '{}');
});

test('report.json: results, runs and chips at full precision', async () => {
  const folder = join(root, 'json');
  const report = await syntheticReport({ tasks: ['flowers'] });
  await writeExperimentReport(report, folder);
  const json = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8'));
  assert.deepEqual(
    json.results.map((result: { method: string }) => result.method),
    ['xbm', 'classifier', 'piggyback', 'finetune'],
  );
  assert.equal(json.runs.length, report.runs.length);
  const [xbm] = json.results;
  assert.deepEqual(xbm.seeds, [0, 1]);
  assert.equal(xbm.accuracyPercent.count, 2);
  const energy = xbm.energy['cifar-resnet8 at 32×32 on nn-imc, 4-bit'];
  const sum = energy.inferenceTestSetJoules.mean + energy.reprogrammingJoules.mean;
  assert.ok(Math.abs(sum - energy.totalJoules.mean) < 1e-15);
  for (const { summary, layers } of json.runs) {
    const off = layers.reduce((total: number, layer: { off: number }) => total + layer.off, 0);
    if (summary.maskBits > 0) assert.ok(Math.abs((100 * off) / summary.maskBits - summary.shareOff) < 1e-9);
  }
  assert.equal(json.chips[0].id, 'cifar-resnet8 at 32×32 on nn-imc, 4-bit');
});

test('marks of a figure on disk have plain labels', async () => {
  const svg = readFileSync(join(root, 'json', 'figures', 'accuracy.svg'), 'utf8');
  assert.match(svg, /aria-label="flowers, xbm: \d\d\.\d\d ± \d\.\d+ %"/);
  assert.doesNotMatch(svg, /aria-label="run-/);
});

test('the sheet of masks names every layer and draws its bits', async () => {
  const report = await syntheticReport({ tasks: ['flowers'], methods: ['xbm'], seeds: [0], pictures: true });
  const [run] = report.runs;
  const svg = maskFigure(run, 'Masks');
  for (const { layer } of run.maskPictures) assert.ok(svg.includes(`>${layer}</text>`), layer);
  assert.equal(svg.match(/<image /g)!.length, run.layers.length);
  const { default: sharp } = await import('sharp');
  const { data, info } = await sharp(run.maskPictures[1].png).raw().toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height], [run.maskPictures[1].width, run.maskPictures[1].height]);
  const on = data.filter((value) => value === 255).length;
  assert.ok(on > 0.5 * data.length && on < 0.8 * data.length, 'about 65 % of the bits are on');
  assert.deepEqual([...(await renderPng(svg)).subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
});
