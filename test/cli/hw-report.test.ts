import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { main } from '../../src/cli/main.js';
import { buildNetwork } from '../../src/model/networks.js';
import { fromLayerGraph } from '../hardware/onnxModels.js';
import { randomBackbone, writeRun } from '../report/trainedRuns.js';
import { temporaryFolder } from '../runs/fixtures.js';
import { fakeIo } from './fakeIo.js';

/** Runs `xbm hw-report …` in a folder. */
async function report(cwd: string, ...args: string[]) {
  const io = fakeIo({ cwd });
  const code = await main(['hw-report', ...args], io);
  return { code, out: io.out(), err: io.err() };
}

test('--preset nn-imc --shares published --json prints one document of the promised shape', async (t) => {
  const { code, out, err } = await report(
    temporaryFolder(t),
    '--preset',
    'nn-imc',
    '--shares',
    'published',
    '--json',
  );
  assert.equal(code, 0, err);
  const document = JSON.parse(out.trimEnd().split('\n').at(-1)!);
  assert.equal(document.network, 'resnet50');
  assert.equal(document.arrays, 10326);
  assert.equal(document.arrayActivationsPerImage, 1870134);
  const { xbm, piggyback, finetune } = document.tasks.cubs.methods;
  assert.ok(Math.abs(xbm.energyPerImageMicrojoules - 21.2) < 0.1);
  assert.ok(Math.abs(xbm.inferenceTestSetJoules - 0.1229) < 0.0005);
  assert.equal(xbm.reprogrammingJoules, 0);
  assert.ok(Math.abs(piggyback.reprogrammingJoules - 0.458) < 0.002);
  assert.ok(Math.abs(finetune.reprogrammingJoules - 3.75) < 0.01);
});

test('the table says what is reproduced, warns, and cites; without runs it falls back and says so', async (t) => {
  const { code, out, err } = await report(temporaryFolder(t));
  assert.equal(code, 0);
  assert.match(err, /no finished run below results\/runs: using the published shares/);
  assert.match(out, /Note: Every component has a fixed energy/);
  assert.match(out, /up to 40 % energy +not reproduced/);
  assert.match(out, /^slides: F\. Zhang et al\./m);
});

test('in a terminal its tables are no wider than that', async (t) => {
  const io = fakeIo({ cwd: temporaryFolder(t), columns: 100 });
  const code = await main(['hw-report', '--shares', 'published', '--table', 'claims'], io);
  assert.equal(code, 0, io.err());
  const lines = io.out().split('\n');
  assert.ok(lines.length > 8);
  for (const line of lines) assert.ok(line.length <= 100, line);
});

test('--table prints only the named tables', async (t) => {
  const { out } = await report(
    temporaryFolder(t),
    '--shares',
    'published',
    '--table',
    'claims',
    '--table',
    'layers',
    '--table',
    'claims',
  );
  assert.equal(out.match(/^Claims of XBM and its sister paper XMA$/gm)?.length, 1);
  assert.match(out, /^Claims of XBM and its sister paper XMA\n/);
  assert.match(out, /^XMA: “by eliminating cell re-programming, .* +consistent with our reading /m);
  assert.match(out, /^conv1 +3 +2 +6 +60\.49 +3\.704 +/m);
  assert.doesNotMatch(out, /Accuracy/);
});

test('--help names every table', async (t) => {
  const cwd = temporaryFolder(t);
  const { out } = await report(cwd, '--help');
  const { err } = await report(cwd, ...'--shares published --table beauty'.split(' '));
  const listed = out
    .match(/^Tables \(--table\):\n([\s\S]*?)\.$/m)![1]
    .replaceAll(/\s+/g, ' ')
    .trim();
  const known = err
    .match(/Its tables are (.*)\./)![1]
    .replace(/switching-piggyback, switching-finetune/, 'switching-<method>');
  assert.equal(listed, known);
});

test('--table in every format; a network alone has no rows of results', async (t) => {
  const cwd = temporaryFolder(t);
  const print = async (...args: string[]) =>
    (await report(cwd, '--shares', 'published', '--table', 'total', '--table', 'area', ...args)).out;
  const csv = (await print('--format', 'csv')).split('\r\n\r\n');
  assert.equal(csv.length, 2);
  assert.match(csv[0], /^task,xbm,piggyback,finetune\r\ncubs,/);
  assert.match(csv[1], /^component,/);
  const md = await print('--format', 'md');
  assert.deepEqual(md.match(/^###? .*/gm), [
    '### Total: reprogramming and inference over the test set (J)',
    '### Area',
  ]);
  const tex = await print('--format', 'tex');
  assert.deepEqual(tex.match(/\\label\{.*\}/g), ['\\label{tab:total}', '\\label{tab:area}']);
  assert.match(tex, /\\caption\{Total: reprogramming and inference over the test set \(J\)\}/);
  const { tables } = JSON.parse(await print('--json'));
  assert.deepEqual(
    tables.map(({ id, rows }: { id: string; rows: unknown[] }) => [id, rows.length]),
    [
      ['total', 5],
      ['area', 10],
    ],
  );
  const alone = await report(cwd, ...'--network resnet18 --format csv'.split(' '));
  assert.equal(alone.code, 2);
  assert.match(alone.err, /a network alone has none\nName tables with --table/);
  const layers = await report(cwd, ...'--network resnet18 --format csv --table layers'.split(' '));
  assert.match(layers.out, /^layer,/);
});

test('Markdown and CSV; overrides reach the numbers', async (t) => {
  const cwd = temporaryFolder(t);
  assert.match(
    (await report(cwd, '--shares', 'published', '--format', 'md')).out,
    /^## resnet50 at 224×224 on nn-imc/,
  );
  const { out } = await report(
    cwd,
    '--shares',
    'published',
    '--format',
    'csv',
    '--set',
    'write.energyPerCell=0.6',
  );
  const lines = out.trimEnd().split('\r\n');
  assert.equal(lines.length, 1 + 15);
  assert.match(lines[0], /^task,method,preset,.*,cellWritePicojoules,cellWriteSource,memoryBytes$/);
  assert.match(lines[2], /^cubs,piggyback,nn-imc,"published shares: .*,0\.6,override,4783544$/);
});

test('a network alone, at another input size', async (t) => {
  const { code, out } = await report(
    temporaryFolder(t),
    ...'--network resnet18 --image-size 96 --layers --json'.split(' '),
  );
  assert.equal(code, 0);
  const document = JSON.parse(out);
  assert.equal(document.input, '96×96');
  assert.deepEqual(document.tasks, {});
});

test('CIFAR networks are priced at 32 px unless told otherwise', async (t) => {
  const cwd = temporaryFolder(t);
  for (const shares of [[], ['--shares', 'published']]) {
    const { out } = await report(cwd, '--network', 'cifar-resnet20', '--json', ...shares);
    assert.equal(JSON.parse(out).input, '32×32');
  }
});

test('--out replaces a hardware report, other files only with --force', async (t) => {
  const cwd = temporaryFolder(t);
  const args = ['--network', 'cifar-resnet8', '--out', 'out'];
  mkdirSync(join(cwd, 'out'));
  const page = join(cwd, 'out', 'report.md');
  writeFileSync(page, 'mine');
  const refused = await report(cwd, ...args);
  assert.equal(refused.code, 2);
  assert.equal(refused.out, '');
  assert.match(refused.err, /out: is no folder of a hardware report, but holds report\.md\n.* --force/);
  assert.equal(readFileSync(page, 'utf8'), 'mine');
  for (const force of [['--force'], []]) {
    const { code, err } = await report(cwd, ...args, ...force);
    assert.equal(code, 0, err);
    assert.match(readFileSync(page, 'utf8'), /cifar-resnet8 at 32×32/);
  }
  assert.match((await report(cwd, '--force')).err, /--force has no meaning without --out/);
});

test('an ONNX network: the same chip as its layer graph', async (t) => {
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, 'net.onnx'), fromLayerGraph(buildNetwork('resnet18', 10), 64));
  const onnx = JSON.parse((await report(cwd, '--onnx', 'net.onnx', '--json')).out);
  const own = JSON.parse((await report(cwd, ...'--network resnet18 --image-size 64 --json'.split(' '))).out);
  assert.equal(onnx.network, 'net');
  assert.equal(onnx.input, '3×64×64');
  assert.deepEqual([onnx.layers, onnx.area, onnx.latency], [own.layers, own.area, own.latency]);
  const both = await report(cwd, ...'--onnx net.onnx --network resnet18'.split(' '));
  assert.match(both.err, /--network and --onnx exclude each other/);
});

test('trained runs: real masks, element masks and levels are priced, the newest run of each counts', async (t) => {
  const cwd = temporaryFolder(t);
  const backbone = randomBackbone();
  const old = await writeRun(cwd, backbone, { task: 'flowers', method: 'xbm', accuracy: 1, seed: 9 });
  utimesSync(join(old, 'summary.json'), 1, 1);
  await writeRun(cwd, backbone, { task: 'flowers', method: 'xbm', accuracy: 80 });
  await writeRun(cwd, backbone, { task: 'flowers', method: 'piggyback', accuracy: 82, shareOff: 0.1 });
  await writeRun(cwd, backbone, { task: 'flowers', method: 'finetune', accuracy: 85 });
  await writeRun(cwd, backbone, { task: 'cubs', method: 'finetune', accuracy: 60 });
  await writeRun(cwd, backbone, { task: 'cubs', method: 'classifier', accuracy: 40 });
  const damaged = join(old, '..', 'zzz');
  cpSync(old, damaged, { recursive: true });
  writeFileSync(join(damaged, 'summary.json'), '{}');
  const { code, out, err } = await report(cwd, '--json');
  assert.equal(code, 0, err);
  assert.match(err, /left out, as there is a newer run of the same task and method: flowers-xbm-72-32-s9\n/);
  assert.match(err, /^left out: .*zzz.summary.json: not written by a run: wrong or missing keys: task/m);
  const document = JSON.parse(out);
  assert.equal(document.input, '32×32');
  const { flowers, cubs } = document.tasks;
  assert.equal(flowers.methods.xbm.accuracy, 80);
  assert.equal(flowers.methods.xbm.reprogrammingJoules, 0);
  assert.notEqual(
    flowers.methods.xbm.energyPerImageMicrojoules,
    flowers.methods.xbm.uniformShareEnergyPerImageMicrojoules,
  );
  assert.ok(flowers.methods.piggyback.cellsWritten > 0);
  assert.ok(flowers.methods.finetune.reprogrammingJoules > flowers.methods.piggyback.reprogrammingJoules);
  assert.equal(cubs.methods.classifier.reprogrammingJoules, 0);
  assert.ok(document.switching.finetune.joules[1][2] > 0);
  assert.match(document.assumptions[0], /Older runs left out: flowers-xbm-72-32-s9/);

  const newer = join(cwd, 'results/runs/flowers-xbm-72-32-s0');
  const twice = await report(cwd, '--run', newer, '--run', old);
  assert.equal(twice.code, 2);
  assert.match(
    twice.err,
    /two runs of task flowers with method xbm: flowers-xbm-72-32-s0 and flowers-xbm-72-32-s9\n.*xbm reproduce/,
  );

  const digits = JSON.parse(
    (await report(cwd, '--json', '--set', 'policies.piggybackCells=digit-changes')).out,
  );
  const changed = digits.tasks.flowers.methods.piggyback.cellsWritten;
  assert.ok(changed > 0 && changed < flowers.methods.piggyback.cellsWritten);
});

test('masks of other rows than the array are refused by name, and priced with policies.maskRemap=and', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), {
    task: 'flowers',
    method: 'xbm',
    accuracy: 80,
    rows: 36,
  });
  await writeRun(cwd, randomBackbone(), { task: 'cubs', method: 'xbm', accuracy: 80 });
  const refused = await report(cwd);
  assert.equal(refused.code, 2);
  assert.match(
    refused.err,
    /flowers-xbm-36-32-s0: masks .* 36 rows cannot be priced on arrays of 72 rows.*\nSet array\.rows=36, or policies\.maskRemap=and/,
  );
  assert.equal((await report(cwd, '--set', 'array.rows=36')).code, 0);
  assert.equal((await report(cwd, '--run', run, '--set', 'policies.maskRemap=and')).code, 0);
});

test('widths are the runs’: an override that contradicts them is refused', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), { task: 'flowers', method: 'xbm', accuracy: 80 });
  const { code, err } = await report(cwd, '--run', run, '--set', 'precision.weightBits=8');
  assert.equal(code, 2);
  assert.match(err, /precision\.weightBits=8 contradicts the runs: they were trained with 4 bits/);
});

test('runs that do not fit together, or whose backbone is gone, are named errors', async (t) => {
  const cwd = temporaryFolder(t);
  await writeRun(cwd, randomBackbone(), { task: 'flowers', method: 'xbm', accuracy: 80 });
  const tuned = await writeRun(cwd, randomBackbone(), { task: 'cubs', method: 'finetune', accuracy: 80 });
  rmSync(join(cwd, 'backbone.safetensors'));
  const gone = await report(cwd, '--run', tuned);
  assert.equal(gone.code, 2);
  assert.match(gone.err, /level changes need the backbone of the runs.*\n.*--backbone/);
  await writeRun(cwd, randomBackbone(2), { task: 'cubs', method: 'xbm', accuracy: 80 });
  const mixed = await report(cwd);
  assert.match(mixed.err, /the runs differ in backboneSha256/);
  const sizes = temporaryFolder(t);
  await writeRun(sizes, randomBackbone(), { task: 'flowers', method: 'xbm', accuracy: 80 });
  await writeRun(sizes, randomBackbone(), { task: 'cubs', method: 'xbm', accuracy: 80, imageSize: 64 });
  assert.match(
    (await report(sizes)).err,
    /different image sizes: 64, 32 pixels|different image sizes: 32, 64 pixels/,
  );
  assert.equal((await report(sizes, '--image-size', '32')).code, 0);
});

test('--backbone is an existing file, and is said to change nothing where no run needs it', async (t) => {
  const cwd = temporaryFolder(t);
  const idle = /^Note: --backbone changes nothing here: only fine-tuned runs and policies\.piggybackCells=/m;
  const backbone = ['--backbone', 'moved.safetensors'];
  writeFileSync(join(cwd, 'moved.safetensors'), '');
  assert.match((await report(cwd, ...backbone)).err, idle);
  const run = await writeRun(cwd, randomBackbone(), { task: 'flowers', method: 'xbm', accuracy: 80 });
  renameSync(join(cwd, 'backbone.safetensors'), join(cwd, 'moved.safetensors'));
  const absent = await report(cwd, '--run', run, '--backbone', 'nosuch');
  assert.equal(absent.code, 2);
  assert.equal(absent.err, `xbm: ${join(cwd, 'nosuch')}: no such file\nCheck --backbone.\n`);
  const unread = await report(cwd, '--run', run, ...backbone);
  assert.equal(unread.code, 0, unread.err);
  assert.match(unread.err, idle);
  assert.doesNotMatch((await report(cwd, '--run', run)).err, idle);
  const tuned = await writeRun(cwd, randomBackbone(), { task: 'cubs', method: 'finetune', accuracy: 80 });
  renameSync(join(cwd, 'backbone.safetensors'), join(cwd, 'moved.safetensors'));
  const read = await report(cwd, '--run', tuned, ...backbone);
  assert.equal(read.code, 0, read.err);
  assert.doesNotMatch(read.err, idle);
});

test('an unfinished run is called that; --resume continues it', async (t) => {
  const cwd = temporaryFolder(t);
  const run = await writeRun(cwd, randomBackbone(), { task: 'flowers', method: 'xbm', accuracy: 80 });
  rmSync(join(run, 'summary.json'));
  writeFileSync(join(run, 'checkpoint.safetensors'), '');
  const { code, err } = await report(cwd, '--run', run);
  assert.equal(code, 2);
  assert.match(err, /flowers-xbm-72-32-s0: this run is not finished\n.*`xbm train` with .* --resume/);
});

test('--out writes the page, JSON, tables and charts', async (t) => {
  const cwd = temporaryFolder(t);
  const { code, err } = await report(
    cwd,
    '--shares',
    'published',
    '--network',
    'cifar-resnet8',
    '--image-size',
    '32',
    '--out',
    'chip',
  );
  assert.equal(code, 0, err);
  for (const file of [
    'report.md',
    'report.json',
    'results.csv',
    'tables/claims.csv',
    'charts/area.svg',
    'charts/area.png',
  ]) {
    assert.ok(existsSync(join(cwd, 'chip', file)), file);
  }
  assert.equal(JSON.parse(readFileSync(join(cwd, 'chip', 'report.json'), 'utf8')).network, 'cifar-resnet8');

  const own = ['tables/own.csv', 'charts/own.svg', 'notes.txt'].map((file) => join(cwd, 'chip', file));
  for (const file of own) writeFileSync(file, 'of the user');
  assert.equal((await report(cwd, ...'--network resnet18 --out chip'.split(' '))).code, 0);
  assert.deepEqual(readdirSync(join(cwd, 'chip', 'charts')), [
    'area.png',
    'area.svg',
    'energy-per-layer.png',
    'energy-per-layer.svg',
    'own.svg',
  ]);
  assert.ok(!existsSync(join(cwd, 'chip/tables/total.csv')), 'a table of the earlier report');
  assert.ok(existsSync(join(cwd, 'chip/tables/area.csv')));
  for (const file of own) assert.ok(existsSync(file), file);
});

test('mistakes: exit code 2 and a way out', async (t) => {
  const cwd = temporaryFolder(t);
  const cases: [string, RegExp][] = [
    ['--preset nn-inc --shares published', /no hardware description "nn-inc"; did you mean "nn-imc"/],
    ['--shares published --run x', /--shares and --run exclude each other/],
    ['--run x --network resnet50', /--network and --run exclude each other/],
    ['--shares published --backbone x', /--backbone and --shares exclude each other/],
    ['--network resnet50 --backbone x', /--backbone and --network exclude each other/],
    ['--shares published --set array.rows=many', /array\.rows.*: expected (a )?number/],
    ['--shares published --set policies.piggybackCells=digit-changes', /needs the masks of a trained run/],
    ['--network resnet5', /unknown network "resnet5"/],
    ['--network resnet50 --image-size 7', /whole number of pixels/],
    ['--onnx nothing.onnx', /nothing\.onnx: no such file/],
    ['--run nowhere', /no finished run/],
    ['--shares published --table beauty', /no table "beauty"\nIts tables are accuracy, /],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await report(cwd, ...args.split(' '));
    assert.equal(code, 2, args);
    assert.match(err, message, args);
  }
});
