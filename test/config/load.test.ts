import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadExperiment } from '../../src/config/load.js';
import type { Experiment } from '../../src/config/schema.js';
import { folderWith, userErrorOf } from './helpers.js';

/** Loads `a.yaml` among the given files. */
function load(
  t: TestContext,
  files: Readonly<Record<string, string>> | string,
  overrides: readonly string[] = [],
): Experiment {
  const cwd = folderWith(t, typeof files === 'string' ? { 'a.yaml': files } : files);
  return loadExperiment({ config: 'a.yaml', overrides, cwd });
}

test('a task alone is an experiment with every default', (t) => {
  const experiment = load(t, 'task: cubs\n');
  assert.equal(experiment.training.epochs, 30);
  assert.equal(experiment.method.name, 'xbm');
  assert.equal(experiment.backbone.weights, 'resnet50-imagenet');
});

test('extends merges key by key, the nearest file wins', (t) => {
  const { training, data } = load(t, {
    'a.yaml': 'extends: b.yaml\ntask: cubs\ntraining: { learningRate: { masks: 1 } }\n',
    'b.yaml': 'extends: deep/c\ntask: cars\ntraining: { epochs: 3, learningRate: { masks: 2, head: 3 } }\n',
    'deep/c': 'data: { workers: 0 }\ntraining: { epochs: 9, batchSize: 7 }\n',
  });
  assert.equal(data.workers, 0);
  assert.deepEqual(
    [training.epochs, training.batchSize, training.learningRate.masks, training.learningRate.head],
    [3, 7, 1, 3],
  );
});

test('extends finds a packaged config by name, a file of that name first', (t) => {
  assert.equal(load(t, 'extends: cubs-finetune\n').training.optimizer, 'sgd');
  const files = { 'a.yaml': 'extends: base.yaml\n', 'base.yaml': 'task: cars\ntraining: { epochs: 2 }\n' };
  assert.equal(load(t, files).training.epochs, 2);
});

test('a circle of extends is an error that names the circle', (t) => {
  const files = { 'a.yaml': 'extends: b.yaml\n', 'b.yaml': 'task: cubs\nextends: a.yaml\n' };
  assert.equal(
    userErrorOf(() => load(t, files)),
    'b.yaml:2:10: extends: files extend each other in a circle: a.yaml → b.yaml → a.yaml',
  );
});

test('a missing parent names the place and what may have been meant', (t) => {
  const message = userErrorOf(() => load(t, 'task: cubs\nextends: cubs-xmb\n'));
  assert.match(message, /^a\.yaml:2:10: extends: "cubs-xmb": no such file.*did you mean "cubs-xbm"\?$/);
});

test('overrides are YAML, the last one wins, mappings merge', (t) => {
  const { training, method, data } = load(t, 'task: cubs\ndata: { root: x }\n', [
    'training.epochs=3',
    'training.epochs=4',
    'training.learningRate={masks: 1e-3}',
    'method.noise=true',
    'data.root=null',
    'data.edition=2010',
  ]);
  assert.equal(training.epochs, 4);
  assert.deepEqual(training.learningRate, { masks: 1e-3, weights: 5e-3, batchNorm: 2e-4, head: 2e-4 });
  assert.equal(method.noise, true);
  assert.equal(data.root, null);
  assert.equal(data.edition, '2010');
});

test('an override that is no assignment, or sets an unknown key, says so', (t) => {
  const error = (override: string): string => userErrorOf(() => load(t, 'task: cubs\n', [override]));
  assert.equal(error('training.epochs'), '--set training.epochs: expected key.path=value');
  assert.equal(error('=3'), '--set =3: expected key.path=value');
  assert.equal(error('data.root='), '--set data.root=: has no value');
  assert.equal(error('a..b=3'), '--set a..b=3: expected key.path=value');
  assert.equal(error('__proto__.x=3'), '--set __proto__.x=3: expected key.path=value');
  assert.equal(
    error('training.epoch=3'),
    '--set training.epoch=3: training.epoch: unknown key; did you mean "training.epochs"?',
  );
  assert.equal(
    error('epochs=3'),
    '--set epochs=3: epochs: unknown key here; did you mean "training.epochs"?',
  );
  assert.match(error('extends=base'), /extends: unknown key/);
  assert.match(error('data.root=/a #1'), /what follows "#" is a comment in YAML/);
  assert.match(error('data.root=[x'), /^--set data\.root=\[x:1:3: not valid YAML: /);
});

test('paths are relative to the file that says them, those of overrides to the working directory', (t) => {
  const cwd = folderWith(t, {
    'a.yaml': 'extends: deep/b.yaml\ntask: folder\n',
    'deep/b.yaml':
      'data: { root: pictures }\nbackbone: { weights: ../w.safetensors }\nhardware: chips/x.yaml\n',
  });
  const fromFile = loadExperiment({ config: 'a.yaml', cwd });
  assert.equal(fromFile.data.root, join(cwd, 'deep/pictures'));
  assert.equal(fromFile.backbone.weights, join(cwd, 'w.safetensors'));
  assert.equal(fromFile.hardware, join(cwd, 'deep/chips/x.yaml'));
  const overrides = ['data.root=other', 'data.cache=~/c', 'backbone.weights=resnet50-imagenet'];
  const overridden = loadExperiment({ config: 'a.yaml', cwd, overrides });
  assert.equal(overridden.data.root, join(cwd, 'other'));
  assert.equal(overridden.data.cache, join(homedir(), 'c'));
  assert.equal(overridden.backbone.weights, 'resnet50-imagenet');
});

test('a config that is no file and no packaged name gets a suggestion', () => {
  const message = userErrorOf(() => loadExperiment({ config: 'flower-xbm.yaml' }));
  assert.match(message, /^config "flower-xbm\.yaml": no such file.*did you mean "flowers-xbm"\?$/);
});

test('a pipe is read, once, and its paths are relative to the working directory', (t) => {
  const cwd = folderWith(t, { 'base.yaml': 'task: folder\ntraining: { epochs: 4 }\n' });
  const pipe = join(folderWith(t, {}), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const writer = spawn('sh', [
    '-c',
    'printf "extends: base.yaml\\ndata: { root: pictures }\\n" > "$0"',
    pipe,
  ]);
  t.after(() => writer.kill());
  for (const method of ['xbm', 'classifier']) {
    const overrides = [`method.name=${method}`];
    const { data, training } = loadExperiment({ config: pipe, overrides, cwd });
    assert.deepEqual([data.root, training.epochs], [join(cwd, 'pictures'), 4]);
  }
});

test('a file behind /dev/stdin has the working directory as its folder', {
  skip: existsSync('/dev/stdin') ? false : 'there is no /dev/stdin here',
}, (t) => {
  const cwd = folderWith(t, { 'deep/a.yaml': 'task: folder\ndata: { root: pictures }\n' });
  const module = new URL('../../src/config/load.js', import.meta.url).href;
  const code = `import { loadExperiment } from ${JSON.stringify(module)};
    console.log(loadExperiment({ config: '/dev/stdin' }).data.root);`;
  const command = '"$0" --input-type=module --eval "$1" < deep/a.yaml';
  const { stdout } = spawnSync('sh', ['-c', command, process.execPath, code], { cwd, encoding: 'utf8' });
  assert.equal(stdout, `${join(cwd, 'pictures')}\n`);
});

test('a folder and a device are called what they are', (t) => {
  const cwd = folderWith(t, { 'chips/x.yaml': '', 'a.yaml': 'extends: chips\n' });
  const error = (config: string): string => userErrorOf(() => loadExperiment({ config, cwd }));
  assert.equal(error('chips'), 'config "chips": is a folder');
  assert.equal(error('a.yaml'), 'a.yaml:1:10: extends: "chips": is a folder');
  assert.equal(error('/dev/null'), 'config "/dev/null": is neither a file nor a pipe');
});
