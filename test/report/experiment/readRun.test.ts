import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { loadHardware } from '../../../src/hardware/load.js';
import { chipId, chipsOf } from '../../../src/report/experiment/chips.js';
import { experimentMarkdown } from '../../../src/report/experiment/markdown.js';
import { portableConfig } from '../../../src/report/experiment/portableConfig.js';
import { readCurve, readExperimentRun } from '../../../src/report/experiment/readRun.js';
import { hardwareReport } from '../../../src/report/hardwareReport.js';
import { readRunResults } from '../../../src/report/runResults.js';
import { RunFolder } from '../../../src/runs/runFolder.js';
import { randomBackbone, writeRun } from '../trainedRuns.js';

const cwd = mkdtempSync(join(tmpdir(), 'xbm-read-run-'));
after(() => rmSync(cwd, { recursive: true, force: true }));
let folders: RunFolder[];

before(async () => {
  const backbone = randomBackbone();
  const paths = [
    await writeRun(cwd, backbone, { task: 'flowers', method: 'xbm', accuracy: 80, shareOff: 0.4 }),
    await writeRun(cwd, backbone, { task: 'flowers', method: 'finetune', accuracy: 85 }),
  ];
  folders = paths.map((path) => new RunFolder(path));
  writeFileSync(
    folders[0].metrics,
    [
      '{"kind":"step","step":1,"epoch":1,"loss":2,"accuracy":10,"learningRates":{}}',
      '{"kind":"epoch","epoch":1,"step":3,"loss":1.5,"accuracy":40,"shareOff":20,"validation":null}',
      '{"kind":"epoch","epoch":2,"step":6,"loss":1.25,"accuracy":50,"shareOff":40,"validation":{"loss":1,"accuracy":60}}',
      '{"kind":"test","step":6,"loss":1,"accuracy":80}',
      '',
    ].join('\n'),
  );
});

const read = (run: RunFolder, pictures = true) =>
  readExperimentRun(run, {
    task: 'flowers',
    variant: null,
    reportFolder: join(cwd, 'results', 'paper'),
    command: 'xbm train --task flowers',
    costs: [],
    pictures,
  });

test('a run folder is read: curve, layers, pictures, relative folder, config without folders', async () => {
  const run = await read(folders[0]);
  assert.equal(run.folder, '../runs/flowers-xbm-72-32-s0');
  assert.deepEqual(run.curve, [
    { epoch: 1, loss: 1.5, accuracy: 40, shareOff: 20, validation: null },
    { epoch: 2, loss: 1.25, accuracy: 50, shareOff: 40, validation: { loss: 1, accuracy: 60 } },
  ]);
  const bits = run.layers.reduce((sum, layer) => sum + layer.bits, 0);
  const off = run.layers.reduce((sum, layer) => sum + layer.off, 0);
  assert.equal(bits, run.summary.maskBits);
  assert.ok(Math.abs((100 * off) / bits - run.summary.shareOff) < 1e-9);
  assert.deepEqual(
    run.maskPictures.map(({ layer }) => layer),
    run.layers.map(({ name }) => name),
  );
  assert.ok(!run.configText.includes(cwd));
  assert.match(run.configText, /weights: backbone\.safetensors # its folder is left out/);
  assert.match(run.configText, /task: flowers/);
  assert.deepEqual((await read(folders[0], false)).maskPictures, []);
});

test('trained runs, priced and read, make a report', async () => {
  const { network, set } = await readRunResults(folders, { needLevels: false });
  const report = hardwareReport(network, loadHardware('nn-imc'), set);
  const runs = await Promise.all(folders.map((folder) => read(folder)));
  const priced = runs.map((run) => ({
    ...run,
    costs: [{ chip: chipId(report), ...report.tasks.flowers.methods[run.summary.method]! }],
  }));
  const text = experimentMarkdown({
    name: 'trained',
    description: null,
    command: 'xbm reproduce trained.yaml',
    configText: '',
    programVersion: '0',
    runs: priced,
    missing: [],
    chips: chipsOf([0, 1].map((seed) => ({ report, seed, variant: null, costs: new Map() }))),
    notes: [],
  });
  assert.match(text, /^\| flowers \| finetune \| 4-bit \| 85\.00 /m);
  assert.match(text, /^\| flowers \| xbm \| 4-bit \| 80\.00 /m);
  assert.match(text, /Energy on cifar-resnet8 at 32×32 on nn-imc, 4-bit/);
});

test('paths of a machine lose their folders, other texts stay', () => {
  const text = portableConfig(
    '# hash\na: /home/me/data/cubs/\nb: { c: "C:\\\\x\\\\y.bin", d: a/b, e: null }\nf: [~/z, 3]\n',
  );
  assert.match(text, /^# hash\n/);
  assert.match(text, /^a: cubs # its folder is left out$/m);
  assert.match(text, /y\.bin/);
  assert.match(text, /d: a\/b/);
  assert.doesNotMatch(text, /home|C:|~/);
  assert.deepEqual(parse(text), { a: 'cubs', b: { c: 'y.bin', d: 'a/b', e: null }, f: ['z', 3] });
});

test('a damaged line of metrics.jsonl is named', () => {
  const path = join(cwd, 'metrics.jsonl');
  writeFileSync(path, '{"kind":"step","epoch":1}\n{"kind":"epoch","epoch":"one"}\n');
  assert.throws(() => readCurve(path), /metrics\.jsonl:2: no epoch as a run writes it/);
  assert.deepEqual(readCurve(join(cwd, 'none.jsonl')), []);
});
