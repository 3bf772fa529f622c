import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadHardware } from '../../src/hardware/load.js';
import { crossbarNetwork } from '../../src/hardware/network.js';
import { buildNetwork } from '../../src/model/networks.js';
import { hardwareReport } from '../../src/report/hardwareReport.js';
import { publishedResults } from '../../src/report/results.js';
import { reportFiles, writeReport } from '../../src/report/writeReport.js';
import { temporaryFolder } from '../runs/fixtures.js';

test('whatever a full report writes is removed before the next one', async (t) => {
  const folder = temporaryFolder(t);
  const network = crossbarNetwork(buildNetwork('cifar-resnet8', 10), 32);
  const report = hardwareReport(network, loadHardware('nn-imc'), publishedResults(network, 72));
  const written = await writeReport(report, folder);
  const own = new Set(
    [...reportFiles, 'report.md', 'report.json', 'results.csv'].map((path) => join(folder, path)),
  );
  assert.deepEqual(
    written.filter((file) => !own.has(file)),
    [],
  );
});
