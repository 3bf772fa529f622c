import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadExperiment } from '../../src/config/load.js';
import { folderWith, userErrorOf } from './helpers.js';

/** What is wrong with a file, and the one message that says so. */
const cases: readonly { what: string; yaml: string; message: string | RegExp }[] = [
  {
    what: 'an unknown key with a near one',
    yaml: 'task: cubs\ntraining:\n  epoch: 3\n',
    message: 'a.yaml:3:3: training.epoch: unknown key; did you mean "training.epochs"?',
  },
  {
    what: 'a key in the wrong place',
    yaml: 'task: cubs\nmasks: 1e-3\n',
    message: 'a.yaml:2:1: masks: unknown key here; did you mean "training.learningRate.masks"?',
  },
  {
    what: 'an unknown key with nothing near',
    yaml: 'task: cubs\nmethod: { name: xbm, zzzzzz: 1 }\n',
    message: /^a\.yaml:2:22: method\.zzzzzz: unknown key; the keys here are name, granularity, rows, /,
  },
  {
    what: 'a misspelt choice',
    yaml: 'task: cubs\ntraining: { optimizer: adm }\n',
    message: 'a.yaml:2:24: training.optimizer: expected one of adam, sgd, found "adm"; did you mean "adam"?',
  },
  {
    what: 'text for a number',
    yaml: 'task: cubs\ntraining:\n  epochs: many\n',
    message: 'a.yaml:3:11: training.epochs: expected a whole number from 1 to 10000, found "many"',
  },
  {
    what: 'a fraction for a whole number',
    yaml: 'task: cubs\ntraining: { batchSize: 1.5 }\n',
    message: 'a.yaml:2:24: training.batchSize: expected a whole number from 1 to 4096, found 1.5',
  },
  {
    what: 'a number out of range',
    yaml: 'task: cubs\nbackbone: { weightBits: 9 }\n',
    message: 'a.yaml:2:25: backbone.weightBits: expected a whole number from 2 to 8 or 32, found 9',
  },
  {
    what: 'not a number',
    yaml: 'task: cubs\nmethod: { slope: .nan }\n',
    message: 'a.yaml:2:18: method.slope: expected a number from 0.000001 to 1000000, found NaN',
  },
  {
    what: 'a slope that float32 cannot hold',
    yaml: 'task: cubs\nmethod: { slope: 1e308 }\n',
    message: 'a.yaml:2:18: method.slope: expected a number from 0.000001 to 1000000, found 1e+308',
  },
  {
    what: 'scores that float32 cannot hold',
    yaml: 'task: cubs\nmethod: { initialScore: 1e39, threshold: -1e39 }\n',
    message: `a.yaml:2:42: method.threshold: expected a number from -1000 to 1000, found -1e+39
a.yaml:2:25: method.initialScore: expected a number from -1000 to 1000, found 1e+39`,
  },
  {
    what: 'a negative learning rate',
    yaml: 'task: cubs\ntraining: { learningRate: { head: -1 } }\n',
    message: 'a.yaml:2:35: training.learningRate.head: expected a number of at least 0, found -1',
  },
  {
    what: 'a mapping that was left empty',
    yaml: 'task: cubs\ndata:\n',
    message: /^a\.yaml:2:\d: data: expected a mapping with the keys root, .*, found null$/,
  },
  {
    what: 'a list for a mapping',
    yaml: 'task: cubs\ndata: [1]\n',
    message: /^a\.yaml:2:7: data: expected a mapping .*, found a list$/,
  },
  {
    what: 'a missing task',
    yaml: 'training: { epochs: 3 }\n',
    message: 'a.yaml:1:1: task: missing; expected one of cubs, cars, flowers, wikiart, sketches, folder',
  },
  {
    what: 'a path with a NUL',
    yaml: 'task: cubs\ndata: { root: "a\\0b" }\n',
    message: 'a.yaml:2:15: data.root: expected a path or null, found "a\\u0000b"',
  },
  {
    what: 'a key twice',
    yaml: 'task: cubs\ntask: cars\n',
    message: /^a\.yaml:2:1: not valid YAML: Map keys must be unique/,
  },
  { what: 'broken YAML', yaml: 'task: cubs\ndata: {\n', message: /^a\.yaml:[23]:\d: not valid YAML: / },
  {
    what: 'two documents',
    yaml: 'task: cubs\n---\ntask: cars\n',
    message: /^a\.yaml:2:1: not valid YAML: .*multiple documents/,
  },
  {
    what: 'a list at the top',
    yaml: '- task\n',
    message: 'a.yaml: expected a mapping of keys at the top level, found a list',
  },
  {
    what: 'an empty file',
    yaml: '# nothing\n',
    message: 'a.yaml: expected a mapping of keys at the top level, found nothing',
  },
  {
    what: 'an alias',
    yaml: 'task: &t cubs\nname: *t\n',
    message: 'a.yaml:2:7: aliases (*t) are not allowed in an experiment',
  },
  {
    what: 'a tag that runs code elsewhere',
    yaml: 'task: !!js/function "x"\n',
    message: /^a\.yaml:1:7: not valid YAML: .*tag/,
  },
  {
    what: 'a key that is no text',
    yaml: 'task: cubs\n? [a]\n: 1\n',
    message: /^a\.yaml:2:\d: (not valid YAML|keys must be)/,
  },
  {
    what: '__proto__',
    yaml: 'task: cubs\n__proto__: { x: 1 }\n',
    message: 'a.yaml:2:1: unknown key "__proto__"',
  },
  {
    what: 'a key of Object.prototype',
    yaml: 'task: cubs\nconstructor: { x: 1 }\n',
    message: /^a\.yaml:2:1: constructor: unknown key/,
  },
  {
    what: 'extends of the wrong type',
    yaml: 'extends: [base]\ntask: cubs\n',
    message: 'a.yaml:1:10: extends: expected the name of a config file',
  },
  {
    what: 'noise without a sigmoid',
    yaml: 'task: cubs\nmethod: { name: piggyback, noise: true }\n',
    message:
      'a.yaml:2:35: method.noise: noise goes into the sigmoid, but method.binarizer is identity; set one of them',
  },
  {
    what: 'masks that start off',
    yaml: 'task: cubs\nmethod: { threshold: 0.02 }\n',
    message:
      /^a\.yaml:2:9: method\.initialScore: expected more than method\.threshold \(0\.02\), found 0\.01/,
  },
  {
    what: 'a granularity without masks',
    yaml: 'task: cubs\nmethod: { name: finetune, granularity: column }\n',
    message: /^a\.yaml:2:40: method\.granularity: finetune has no masks/,
  },
  {
    what: 'no preset of hardware',
    yaml: 'task: cubs\nhardware: nn-inc\n',
    message:
      /^a\.yaml:2:11: hardware: expected a YAML file or one of .*nn-imc.*, found "nn-inc"; did you mean "nn-imc"\?$/,
  },
  {
    what: 'text for a switch that may be null',
    yaml: 'task: cubs\ndata: { crop: "yes" }\n',
    message: 'a.yaml:2:15: data.crop: expected true or false or null, found "yes"',
  },
  {
    what: 'a whole number that no double holds',
    yaml: 'task: cubs\ntraining: { seed: 1e300 }\n',
    message: 'a.yaml:2:19: training.seed: expected a whole number from 0 to 2147483647, found 1e+300',
  },
  {
    what: 'more rows than any crossbar',
    yaml: 'task: cubs\nmethod: { rows: 1000001 }\n',
    message: 'a.yaml:2:17: method.rows: expected a whole number from 1 to 1000000, found 1000001',
  },
  {
    what: 'boxes where there are none',
    yaml: 'task: flowers\ndata: { crop: true }\n',
    message: 'a.yaml:2:15: data.crop: task flowers has no bounding boxes',
  },
  {
    what: 'an edition of a task without editions',
    yaml: 'task: cars\ndata: { edition: 2011 }\n',
    message: 'a.yaml:2:18: data.edition: task cars has no editions',
  },
];

for (const { what, yaml, message } of cases) {
  test(`${what} is one clear message`, (t) => {
    const cwd = folderWith(t, { 'a.yaml': yaml });
    const found = userErrorOf(() => loadExperiment({ config: 'a.yaml', cwd }));
    if (typeof message === 'string') assert.equal(found, message);
    else assert.match(found, message);
  });
}

test('several problems are all listed, each at its file', (t) => {
  const cwd = folderWith(t, { 'a.yaml': 'extends: b.yaml\ntask: cub\n', 'b.yaml': '\nthread: 3\n' });
  assert.deepEqual(userErrorOf(() => loadExperiment({ config: 'a.yaml', cwd })).split('\n'), [
    'a.yaml:2:7: task: expected one of cubs, cars, flowers, wikiart, sketches, folder, found "cub"; did you mean "cubs"?',
    'b.yaml:2:1: thread: unknown key; did you mean "threads"?',
  ]);
});

test('a bomb of aliases, endless nesting, a huge file and a huge line end at once', (t) => {
  const bomb = Array.from({ length: 9 }, (_, i) => `x${i + 1}: &x${i + 1} [${`*x${i},`.repeat(9)}]`);
  const files = {
    aliases: ['x0: &x0 1', ...bomb].join('\n'),
    brackets: `task: ${'['.repeat(400)}${']'.repeat(400)}\n`,
    dashes: `task:\n  ${'- '.repeat(400)}x\n`,
    lines: '- \n'.repeat(100_000),
    line: `task: ${'x'.repeat(5000)}\n`,
  };
  const cwd = folderWith(t, files);
  const error = (config: string): string => userErrorOf(() => loadExperiment({ config, cwd }));
  assert.match(error('aliases'), /aliases \(\*x0\) are not allowed/);
  assert.match(error('brackets'), /nested more than 16 levels deep/);
  assert.match(error('dashes'), /nested more than 16 levels deep/);
  assert.match(error('lines'), /at most 32768/);
  assert.match(error('line'), /^line:1: the line is longer than 1000 characters$/);
});
