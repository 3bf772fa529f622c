import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { main } from '../../src/cli/main.js';
import { packagedConfigs } from '../../src/config/packaged.js';
import { folderWith } from '../config/helpers.js';
import { fakeIo } from './fakeIo.js';

test('config show prints YAML with overrides applied', async () => {
  const io = fakeIo();
  const argv = 'config show --task flowers --method piggyback --set training.epochs=5 --engine tfjs';
  assert.equal(await main(argv.split(' '), io), 0);
  const experiment = parse(io.out());
  assert.equal(experiment.task, 'flowers');
  assert.equal(experiment.method.name, 'piggyback');
  assert.equal(experiment.method.granularity, 'element');
  assert.equal(experiment.training.epochs, 5);
  assert.equal(experiment.engine, 'tfjs');
  assert.equal(io.err(), '');
});

test('config show --json prints one document on one line', async () => {
  const io = fakeIo();
  assert.equal(await main(['config', 'show', '--task', 'cubs', '--json'], io), 0);
  assert.equal(io.out().trimEnd().split('\n').length, 1);
  const { hash, experiment } = JSON.parse(io.out());
  assert.match(hash, /^[0-9a-f]{64}$/);
  assert.equal(experiment.task, 'cubs');
});

test('a method that is none is named as it was given', async () => {
  const io = fakeIo();
  assert.equal(await main(['config', 'show', 'flowers-xbm', '--method', 'nope'], io), 2);
  assert.match(io.err(), /^xbm: --method nope: method\.name: expected one of xbm/);
});

test('a config file is relative to the working directory; --method brings its own defaults', async (t) => {
  const cwd = folderWith(t, { 'mine.yaml': 'extends: cubs-xbm\ntraining: { epochs: 2 }\n' });
  const io = fakeIo({ cwd });
  assert.equal(await main('config show mine.yaml --method finetune --json'.split(' '), io), 0);
  const { method, training } = JSON.parse(io.out()).experiment;
  assert.deepEqual([method.name, method.granularity, method.binarizer], ['finetune', null, null]);
  assert.equal(training.epochs, 2);
});

const mistakes: readonly { argv: string; message: RegExp }[] = [
  { argv: 'config show', message: /Neither a config file nor --task/ },
  { argv: 'config show --task cub', message: /no packaged config for task "cub".*did you mean "cubs-xbm"/ },
  { argv: 'config show cubs-xbm --task cars', message: /both a config \(cubs-xbm\) and --task cars/ },
  {
    argv: 'config show --task cubs --engine gpu',
    message: /--engine <engine>.*Allowed choices are auto, native, onnx, tfjs, webgpu/,
  },
  { argv: 'config show --task cubs --set trainig.epochs=3', message: /did you mean "training"/ },
  { argv: 'config show --tsk cubs', message: /unknown option '--tsk'\n\(Did you mean --task\?\)/ },
  { argv: 'config show --set', message: /argument missing/ },
  { argv: 'confg', message: /unknown command 'confg'\n\(Did you mean config\?\)/ },
  { argv: 'config', message: /Usage: xbm config/ },
  { argv: '', message: /Usage: xbm / },
];

for (const { argv, message } of mistakes) {
  test(`"xbm ${argv}" is a usage error that says what to do`, async () => {
    const io = fakeIo();
    assert.equal(await main(argv.split(' ').filter(Boolean), io), 2);
    assert.match(io.err(), message);
    assert.doesNotMatch(io.err(), /\n\s+at /);
    assert.equal(io.out(), '');
  });
}

test('config list names every packaged experiment', async () => {
  const [table, json] = [fakeIo(), fakeIo()];
  assert.equal(await main(['config', 'list'], table), 0);
  assert.equal(await main(['config', 'list', '--json'], json), 0);
  const { configs } = JSON.parse(json.out());
  assert.deepEqual(
    configs.map((config: { name: string }) => config.name),
    packagedConfigs(),
  );
  for (const name of packagedConfigs()) assert.match(table.out(), new RegExp(`^${name} `, 'm'));
});
