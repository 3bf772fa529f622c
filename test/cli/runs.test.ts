import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { main } from '../../src/cli/main.js';
import { ExitCode } from '../../src/errors.js';
import { randomBackbone, writeRun } from '../report/trainedRuns.js';
import { writeBareCheckpoint } from '../runs/fixtures.js';
import { fakeIo } from './fakeIo.js';

describe('xbm runs', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'xbm-runs-'));
  const runs = join(cwd, 'results', 'runs');
  let finished: string;

  async function xbm(...args: string[]) {
    const io = fakeIo({ cwd });
    const exitCode = await main(['runs', ...args], io);
    assert.equal(exitCode, ExitCode.ok, io.err());
    return { out: io.out(), err: io.err(), lines: io.out().trimEnd().split(/\r?\n/) };
  }

  const config = (name: string, text: string) => {
    mkdirSync(join(runs, name), { recursive: true });
    writeFileSync(join(runs, name, 'config.yaml'), text);
    return join(runs, name);
  };

  before(async () => {
    const backbone = randomBackbone();
    finished = await writeRun(cwd, backbone, { task: 'flowers', method: 'xbm', accuracy: 81.25 });
    await writeRun(cwd, backbone, { task: 'flowers', method: 'xbm', accuracy: 79, rows: 36, seed: 1 });
    await writeRun(cwd, backbone, { task: 'flowers', method: 'finetune', accuracy: 85 });
    const unfinished = config(
      'on-its-way',
      'extends: cubs-xbm\nname: birds\ntraining: { epochs: 7, seed: 5 }\n',
    );
    await writeBareCheckpoint(unfinished);
    config('only-begun', 'extends: cubs-xbm\nname: birds\ntraining: { epochs: 7, seed: 6 }\n');
    writeFileSync(join(config('broken', 'extends: cars-xbm\n'), 'summary.json'), '{}');
    mkdirSync(join(runs, 'notes'));
  });
  after(() => rmSync(cwd, { recursive: true, force: true }));

  test('finished and unfinished runs side by side, with what tells them apart', async () => {
    const { lines, err } = await xbm();
    const rows = lines.slice(2).map((line) => line.split(/ {2,}/));
    assert.deepEqual(
      rows.map((cells) => [cells[0], cells[1], cells[2], cells[3], cells[5], cells[6], cells[8] ?? '']),
      [
        ['birds', 'xbm', '5', '–', '3/7', 'unfinished', ''],
        ['birds', 'xbm', '6', '–', '0/7', 'started', ''],
        ['cars', 'xbm', '0', '–', '–', 'unreadable', ''],
        ['flowers', 'finetune', '0', '85.00', '1/30', 'finished', ''],
        ['flowers', 'xbm', '1', '79.00', '1/30', 'finished', 'method.rows=36'],
        ['flowers', 'xbm', '0', '81.25', '1/30', 'finished', 'method.rows=72'],
      ],
      lines.join('\n'),
    );
    assert.match(err, /broken.*summary\.json: not written by a run/);
  });

  test('as JSON and as CSV with every column', async () => {
    const { lines } = await xbm('--task', 'flowers', '--json');
    const { folder, runs: listed } = JSON.parse(lines.at(-1)!);
    assert.equal(folder, runs);
    assert.equal(listed.length, 3);
    const xbmRun = listed.find((run: { folder: string }) => run.folder === finished);
    assert.deepEqual([xbmRun.rows, xbmRun.granularity, xbmRun.weightBits], [72, 'column', 4]);
    assert.ok(xbmRun.shareOff > 20 && listed[0].shareOff === null);
    assert.deepEqual(xbmRun.settings, { 'method.rows': 72 });
    const csv = (await xbm('--task', 'flowers', '--csv')).lines;
    assert.equal(csv.length, 4);
    const cells = Object.fromEntries(csv[0].split(',').map((key, i) => [key, csv[2].split(',')[i]]));
    assert.equal(basename(cells.folder), 'flowers-xbm-36-32-s1');
    assert.deepEqual([cells.rows, cells.accuracy, cells.settings], ['36', '79', 'method.rows=36']);
  });

  test('a run without its config is said to be incomplete', async () => {
    const bare = join(cwd, 'bare');
    mkdirSync(join(bare, 'run'), { recursive: true });
    writeFileSync(join(bare, 'run', 'summary.json'), '{}');
    const { err } = await xbm('bare');
    assert.equal(err, `${join(bare, 'run')}: this run folder is incomplete: it lacks config.yaml\n`);
  });

  test('a folder without runs is said to be one', async () => {
    const { out, err } = await xbm(join(runs, 'notes'));
    assert.equal(out, '');
    assert.match(err, /no runs in .*notes/);
    const { err: none } = await xbm('--task', 'wikiart');
    assert.match(none, /no runs of wikiart/);
    const io = fakeIo({ cwd });
    assert.equal(await main(['runs', 'nosuch'], io), ExitCode.usage);
    assert.match(io.err(), /nosuch: no such folder/);
    const empty = fakeIo({ cwd: join(runs, 'notes') });
    assert.equal(await main(['runs'], empty), ExitCode.ok);
    assert.match(empty.err(), /no runs in/);
  });

  test('a run goes by its task and by its name; one copied only in part is not finished', async () => {
    for (const task of ['cubs', 'birds']) {
      const { lines } = await xbm('--task', task, '--json');
      assert.equal(JSON.parse(lines.at(-1)!).runs.length, 2, task);
    }
    const folder = join(cwd, 'copies');
    cpSync(finished, join(folder, 'copy'), { recursive: true });
    rmSync(join(folder, 'copy', 'task.safetensors'));
    const { lines, err } = await xbm(folder, '--json');
    assert.equal(JSON.parse(lines.at(-1)!).runs[0].state, 'unreadable');
    assert.equal(err, `${join(folder, 'copy')}: this run folder is incomplete: it lacks task.safetensors\n`);
  });
});
