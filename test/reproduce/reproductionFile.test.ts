import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packagedConfigs, packagedReproductions } from '../../src/config/packaged.js';
import { UserError } from '../../src/errors.js';
import { expandRuns } from '../../src/reproduce/expand.js';
import { loadReproduction } from '../../src/reproduce/reproductionFile.js';
import { folderWith, runsOf, sourceOf } from './fixtures.js';

function messageOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return `${error.message}\n${error.hint ?? ''}`;
  }
  throw new assert.AssertionError({ message: 'nothing was thrown' });
}

test('tasks × methods × seeds become runs in the order of the file', () => {
  const runs = runsOf('name: a\ntasks: [flowers, cubs]\nmethods: [xbm, finetune]\nseeds: [0, 3]\n');
  assert.deepEqual(
    runs.map(({ task, method, seed }) => `${task} ${method} ${seed}`),
    [
      'flowers xbm 0',
      'flowers xbm 3',
      'flowers finetune 0',
      'flowers finetune 3',
      'cubs xbm 0',
      'cubs xbm 3',
      'cubs finetune 0',
      'cubs finetune 3',
    ],
  );
  assert.equal(new Set(runs.map(({ configHash }) => configHash)).size, 8);
  assert.ok(runs.every(({ name, configHash }) => name.includes(configHash.slice(0, 8))));
});

test('changes apply from the general to the particular, the command line last', () => {
  const text = `
name: a
tasks: [flowers, cubs]
methods: [xbm, finetune]
set: { training: { epochs: 7, batchSize: 16 } }
setByTask: { cubs: { training: { epochs: 8 } } }
setByMethod: { finetune: { training: { epochs: 9 } } }
variants: { small: { training: { imageSize: 64 } }, large: {} }
seeds: [5]
`;
  const of = (overrides: string[]) =>
    runsOf(text, { overrides }).map(({ task, method, variant, experiment: { training } }) => [
      task,
      method,
      variant,
      training.epochs,
      training.batchSize,
      training.imageSize,
      training.seed,
    ]);
  assert.deepEqual(of([]), [
    ['flowers', 'xbm', 'small', 7, 16, 64, 5],
    ['flowers', 'xbm', 'large', 7, 16, 224, 5],
    ['flowers', 'finetune', 'small', 9, 16, 64, 5],
    ['flowers', 'finetune', 'large', 9, 16, 224, 5],
    ['cubs', 'xbm', 'small', 8, 16, 64, 5],
    ['cubs', 'xbm', 'large', 8, 16, 224, 5],
    ['cubs', 'finetune', 'small', 9, 16, 64, 5],
    ['cubs', 'finetune', 'large', 9, 16, 224, 5],
  ]);
  assert.deepEqual([...new Set(of(['training.epochs=2']).map((run) => run[3]))], [2]);
});

test('an experiment without {method} in its name takes each method with that method’s defaults', () => {
  const files = { 'mine.yaml': 'extends: folder-xbm\nname: mine\ndata: { root: pictures }\n' };
  const text = 'name: a\ntasks: [mine]\nmethods: [xbm, piggyback, classifier]\nexperiment: "{task}.yaml"\n';
  const runs = runsOf(text, {}, files);
  assert.deepEqual(
    runs.map(({ task, experiment: { method } }) => [
      task,
      method.name,
      method.granularity,
      method.trainBatchNorm,
    ]),
    [
      ['mine', 'xbm', 'column', true],
      ['mine', 'piggyback', 'element', true],
      ['mine', 'classifier', null, false],
    ],
  );
});

test('relative paths are relative to the reproduction file, wherever the program is started', () => {
  const source = sourceOf('name: a\nexperiments: [deep/mine.yaml]\nset: { data: { cache: pixels } }\n', {
    'deep/mine.yaml': 'extends: folder-xbm\ndata: { root: pictures }\n',
  });
  const [run] = expandRuns(source, { cwd: '/' });
  assert.equal(run.experiment.data.cache, `${source.folder}/pixels`);
  assert.equal(run.experiment.data.root, `${source.folder}/deep/pictures`);
});

test('runs go to results/runs, or below the reproduction’s own results', () => {
  const text = 'name: a\ntasks: [cubs]\nmethods: [xbm]\n';
  assert.match(runsOf(text, { cwd: '/w' })[0].folder, /^\/w\/results\/runs\/cubs-xbm-[0-9a-f]{8}-s0$/);
  assert.match(runsOf(`${text}runs: own\n`, { cwd: '/w' })[0].folder, /^\/w\/results\/a\/runs\/cubs-xbm-/);
});

test('what is wrong in a file is named with line and column', () => {
  const cases: [string, RegExp][] = [
    ['name: A B\ntasks: [cubs]\nmethods: [xbm]\n', /study.yaml:1:7: name: expected lower-case letters/],
    ['name: a\ntask: cubs\n', /study.yaml:2:1: task: unknown key; did you mean "tasks"\?/],
    [
      'name: a\ntask: cubs\nbackbone: {}\n',
      /study.yaml:3:1: backbone: unknown key; this looks like a single experiment/,
    ],
    ['name: a\ntasks: [cubs]\n', /study.yaml:2:8: tasks: tasks without methods/],
    ['name: a\n', /study.yaml:1:1: no experiments/],
    ['name: a\ntasks: [cubs]\nmethods: [xbn]\n', /study.yaml:3:10: methods.0: expected one of/],
    ['name: a\ntasks: [cubs, cubs]\nmethods: [xbm]\n', /study.yaml:2:8: tasks: cubs is listed twice/],
    [
      'name: a\ntasks: [cubs]\nmethods: [xbm]\nseeds: []\n',
      /study.yaml:4:8: seeds: expected at least one seed/,
    ],
    ['name: a\ntasks: [cubs]\nmethods: [xbm]\nseeds: [0.5]\n', /study.yaml:4:8: seeds.0: expected int/],
    [
      'name: a\ntasks: [cubs]\nmethods: [xbm]\nsetByTask: { cars: {} }\n',
      /study.yaml:4:14: setByTask.cars: no such task in tasks/,
    ],
    ['name: a\ntasks: [cubs\n', /study.yaml:3:1: not valid YAML/],
  ];
  for (const [text, expected] of cases)
    assert.match(
      messageOf(() => sourceOf(text)),
      expected,
    );
});

test('what is wrong with an experiment is named where the reproduction file says it', () => {
  const base = 'name: a\ntasks: [cubs]\nmethods: [xbm]\n';
  const cases: [string, RegExp][] = [
    [
      `${base}set:\n  training: { epoch: 3 }\n`,
      /^study.yaml:5:15: training.epoch: unknown key; did you mean "training.epochs"/,
    ],
    [`${base}setByMethod:\n  xbm: { method: { slope: -1 } }\n`, /^study.yaml:5:27: method.slope: expected/],
    ['name: a\ntasks: [cup]\nmethods: [xbm]\n', /config "cup-xbm": no such file.*did you mean "cubs-xbm"/],
    [
      'name: a\nexperiments: [cubs-xbm, cubs-xbm.yaml]\n',
      /^study.yaml:1:1: two runs are the same: cubs-xbm-[0-9a-f]{8}-s0/,
    ],
  ];
  for (const [text, expected] of cases)
    assert.match(
      messageOf(() => runsOf(text)),
      expected,
    );
});

test('packaged reproductions load, and are no experiments', () => {
  assert.deepEqual(packagedReproductions(), ['paper', 'quickstart']);
  for (const name of packagedReproductions()) {
    const cwd = folderWith({});
    assert.ok(expandRuns(loadReproduction(name, cwd), { cwd }).length > 0);
    assert.ok(!packagedConfigs().includes(name));
  }
  const paper = loadReproduction('paper', '/').reproduction;
  assert.deepEqual([paper.tasks.length, paper.methods.length, paper.seeds.length], [5, 3, 3]);
});

test('a misspelt name gets a suggestion, an experiment the right command', () => {
  assert.match(
    messageOf(() => loadReproduction('papr', '/')),
    /no such file; did you mean "paper"/,
  );
  assert.match(
    messageOf(() => loadReproduction('cubs-xbm', '/')),
    /single experiment\nRun it with `xbm train/,
  );
});
