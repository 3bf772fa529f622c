import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadExperiment } from '../../src/config/load.js';
import { packagedConfigs } from '../../src/config/packaged.js';
import { experimentToYaml } from '../../src/config/print.js';
import { folderWith } from './helpers.js';

test('a printed experiment loads to the same experiment and prints the same', (t) => {
  for (const name of packagedConfigs()) {
    const overrides = ['data.root=/data with space/#1', 'name=a-1'];
    const experiment = loadExperiment({ config: `${name}.yaml`, overrides });
    const text = experimentToYaml(experiment);
    const folder = folderWith(t, { 'config.yaml': text });
    const again = loadExperiment({ config: join(folder, 'config.yaml') });
    assert.deepEqual(again, experiment);
    assert.equal(experimentToYaml(again), text);
  }
});

test('comments say what each null stands for', () => {
  const text = experimentToYaml(loadExperiment({ config: 'cubs-xbm' }));
  assert.match(text, /^# config hash [0-9a-f]{8}\n/);
  assert.match(text, /^ {2}root: null # \$XBM_DATA\/cubs$/m);
  assert.doesNotMatch(text, /null$/m);
});

test('an explained experiment says what every key means, and loads to the same experiment', (t) => {
  const experiment = loadExperiment({ config: 'cubs-finetune' });
  const text = experimentToYaml(experiment, { explained: true });
  assert.match(text, /^ {2}root: null # \$XBM_DATA\/cubs; folder of the data set$/m);
  assert.match(text, /^ {2}granularity: null # no masks; what a mask bit switches/m);
  assert.match(text, /^ {2}checkpointMinutes: 5 # time between two checkpoints/m);
  const uncommented = text.split('\n').filter((line) => /^ *\w+: \S/.test(line) && !line.includes(' # '));
  assert.deepEqual(uncommented, []);
  const folder = folderWith(t, { 'config.yaml': text });
  assert.deepEqual(loadExperiment({ config: join(folder, 'config.yaml') }), experiment);
});
