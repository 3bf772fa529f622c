import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadExperiment } from '../../src/config/load.js';
import { configForTask, packagedConfig, packagedConfigs } from '../../src/config/packaged.js';
import { userErrorOf } from './helpers.js';

const resizing = ['cubs', 'cars', 'folder'];
const cropping = ['flowers', 'wikiart', 'sketches'];
const methods = ['xbm', 'piggyback', 'finetune', 'classifier'];

for (const task of [...resizing, ...cropping]) {
  for (const method of methods) {
    test(`${task}-${method} is 15–25 lines and follows its protocol`, () => {
      const file = configForTask(task, method);
      const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
      assert.ok(lines.length >= 15 && lines.length <= 25, `${lines.length} lines`);

      const experiment = loadExperiment({ config: file });
      const { training } = experiment;
      assert.equal(experiment.task, task);
      assert.equal(experiment.method.name, method);
      assert.equal(
        experiment.data.augmentation,
        resizing.includes(task) ? 'resize-flip' : 'random-resized-crop',
      );
      assert.deepEqual([training.epochs, training.imageSize, training.seed], [30, 224, 0]);
      const rates = training.learningRate;
      switch (method) {
        case 'xbm':
          assert.deepEqual([training.optimizer, training.schedule, rates.masks], ['adam', 'cosine', 2e-4]);
          assert.equal(training.weightDecay, 0);
          break;
        case 'piggyback':
          assert.deepEqual([training.optimizer, training.schedule, rates.masks], ['adam', 'step', 1e-4]);
          assert.deepEqual([training.stepEpochs, training.stepFactor], [15, 0.1]);
          break;
        case 'finetune':
          assert.deepEqual([training.optimizer, training.momentum, rates.weights], ['sgd', 0.9, 5e-3]);
          assert.equal(training.weightDecay, 1e-4);
          break;
        default:
          assert.equal(experiment.method.trainBatchNorm, false);
      }
    });
  }
}

test('every packaged config loads', () => {
  const names = packagedConfigs();
  assert.ok(names.length >= 24);
  for (const name of names) loadExperiment({ config: `${name}.yaml` });
});

test('a task without a packaged config gets a suggestion', () => {
  assert.match(
    userErrorOf(() => configForTask('cub')),
    /no packaged config for task "cub" with method "xbm"; did you mean "cubs-xbm"\?/,
  );
});

test('packaged configs are found by name only, never by a path', () => {
  assert.ok(packagedConfig('cubs-xbm')?.endsWith(join('configs', 'cubs-xbm.yaml')));
  assert.equal(packagedConfig('cubs-xbm.yaml'), packagedConfig('cubs-xbm'));
  assert.equal(packagedConfig('../configs/cubs-xbm'), undefined);
});
