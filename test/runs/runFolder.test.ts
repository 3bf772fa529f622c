import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadExperiment } from '../../src/config/load.js';
import { experimentToYaml } from '../../src/config/print.js';
import { finishedRuns, RunFolder } from '../../src/runs/runFolder.js';
import { randomBackbone, writeRun } from '../report/trainedRuns.js';
import { temporaryFolder } from './fixtures.js';

test('only a config that xbm wrote makes the files beside it those of a run', (t) => {
  const run = new RunFolder(temporaryFolder(t));
  run.requireOwn();
  writeFileSync(run.metrics, '');
  assert.throws(
    () => run.requireOwn(),
    /no run folder of xbm \(it has no config\.yaml\), but holds metrics\.jsonl/,
  );
  writeFileSync(run.config, 'extends: flowers-xbm # by hand\n');
  assert.throws(
    () => run.requireOwn(),
    /\(xbm did not write its config\.yaml\), but holds config\.yaml, metrics\.jsonl/,
  );
  writeFileSync(run.config, experimentToYaml(loadExperiment({ config: 'flowers-xbm' })));
  run.requireOwn();
});

test('a new training leaves nothing that was measured of the one before', (t) => {
  const run = new RunFolder(temporaryFolder(t));
  for (const name of ['summary.json', 'confusion.csv', 'confusion.png', 'masks.png', 'notes.txt'])
    writeFileSync(join(run.path, name), '');
  run.clear();
  assert.deepEqual(readdirSync(run.path), ['notes.txt']);
});

test('one damaged config leaves out its run alone', async (t) => {
  const cwd = temporaryFolder(t);
  const backbone = randomBackbone();
  const good = await writeRun(cwd, backbone, { task: 'flowers', method: 'xbm', accuracy: 80 });
  const bad = new RunFolder(await writeRun(cwd, backbone, { task: 'cubs', method: 'xbm', accuracy: 70 }));
  writeFileSync(bad.config, `${readFileSync(bad.config, 'utf8')}nonsense: [\n`);
  mkdirSync(join(good, '..', 'empty'));
  const problems: string[] = [];
  const runs = finishedRuns(join(good, '..'), ({ message }) => problems.push(message));
  assert.deepEqual(
    runs.map(({ path }) => path),
    [good],
  );
  assert.equal(problems.length, 1);
  assert.match(problems[0], /cubs.*config\.yaml/);
});
