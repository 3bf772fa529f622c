import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadHardware } from '../../src/hardware/load.js';
import { crossbarNetwork } from '../../src/hardware/network.js';
import { buildNetwork } from '../../src/model/networks.js';
import { hardwareReport } from '../../src/report/hardwareReport.js';
import { METHOD_ORDER, publishedResults } from '../../src/report/results.js';
import { reportFiles, requireOwnReport, writeReport } from '../../src/report/writeReport.js';
import { temporaryFolder } from '../runs/fixtures.js';

test('a report removes every table and chart of the one before, and nothing else', async (t) => {
  const folder = temporaryFolder(t);
  const network = crossbarNetwork(buildNetwork('cifar-resnet8', 10), 32);
  const hardware = loadHardware('nn-imc', ['policies.head=mapped']); // XBM writes the head
  const own = new Set(
    [...reportFiles, 'report.md', 'report.json', 'tables.tex', 'results.csv', 'tables/notes.csv'].map(
      (path) => join(folder, path),
    ),
  );
  const published = publishedResults(network, 72);
  const heads = published.results
    .filter(({ method }) => method === 'finetune')
    .map((result) => ({ ...result, method: 'classifier' as const }));
  const all = { ...published, results: [...published.results, ...heads] };
  const first = await writeReport(hardwareReport(network, hardware, all), folder);
  assert.deepEqual(
    first.filter((file) => !own.has(file)),
    [],
  );
  const notes = readFileSync(join(folder, 'tables', 'notes.csv'), 'utf8');
  assert.match(notes, /^total,[^\r]*,"?80 nJ per cell write/m);
  writeFileSync(join(folder, 'tables', 'mine.csv'), '');
  const noResults = { source: 'none', results: [], assumptions: [] };
  const second = await writeReport(hardwareReport(network, hardware, noResults), folder);
  const gone = first.filter((file) => !second.includes(file));
  for (const method of METHOD_ORDER)
    assert.ok(gone.includes(join(folder, 'tables', `switching-${method}.csv`)), method);
  assert.deepEqual(gone.filter(existsSync), []);
  assert.ok(existsSync(join(folder, 'tables', 'mine.csv')));
});

test('a report that cannot be written whole leaves the one before as it was', async (t) => {
  const folder = temporaryFolder(t);
  const network = crossbarNetwork(buildNetwork('cifar-resnet8', 10), 32);
  const hardware = loadHardware('nn-imc');
  const before = await writeReport(hardwareReport(network, hardware, publishedResults(network, 72)), folder);
  const constants = join(folder, 'tables', 'constants.csv');
  const kept = before.filter((file) => file !== constants);
  const contents = () => kept.map((file) => readFileSync(file, 'hex'));
  const was = contents();
  rmSync(constants);
  mkdirSync(constants);
  const other = hardwareReport(network, hardware, { source: 'none', results: [], assumptions: [] });
  await assert.rejects(writeReport(other, folder), /constants.csv: is a folder, expected a file/);
  assert.deepEqual(contents(), was);
});

test('only files of a hardware report are replaced unasked', async (t) => {
  const folder = temporaryFolder(t);
  requireOwnReport(join(folder, 'absent'));
  writeFileSync(join(folder, 'mine.md'), '');
  requireOwnReport(folder);
  const write = (path: string, content: string) => {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), content);
  };
  const refused = (message: RegExp) => assert.throws(() => requireOwnReport(folder), { message });
  write('tables/wear.csv', '');
  refused(/: is no folder of a hardware report, but holds tables\/wear\.csv$/);
  write('report.md', 'mine');
  refused(/, but holds report\.md, tables\/wear\.csv$/);
  write('results.csv', '');
  for (const json of ['{', JSON.stringify({ name: 'quickstart', tasks: {} })]) {
    write('report.json', json);
    refused(/, but holds report\.json, report\.md, results\.csv and 1 more$/);
  }
  const network = crossbarNetwork(buildNetwork('cifar-resnet8', 10), 32);
  const noResults = { source: 'none', results: [], assumptions: [] };
  await writeReport(hardwareReport(network, loadHardware('nn-imc'), noResults), folder);
  requireOwnReport(folder);
});
