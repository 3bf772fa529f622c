import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { configHash } from '../../src/config/hash.js';
import { experimentToYaml } from '../../src/config/print.js';
import { type Experiment, experimentSchema } from '../../src/config/schema.js';
import { writeCheckpoint } from '../../src/runs/checkpointFile.js';
import type { RunInputs } from '../../src/runs/executeRun.js';
import { RunFolder } from '../../src/runs/runFolder.js';
import { ColourLoader, DoubleEngine, tinyBackbone } from '../training/doubles.js';

/** A folder that goes away with the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'xbm-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function temporaryRun(t: TestContext): RunFolder {
  return new RunFolder(join(temporaryFolder(t), 'run'));
}

/** In a run folder: that of an unfinished run after 3 epochs of 10 steps, with no tensors in it. */
export function writeBareCheckpoint(folder: string): Promise<void> {
  const running = { lossSum: 0, correct: 0, images: 0, batches: 0 };
  const state = { step: 30, tensors: {}, moments: {} };
  const hashes = { configHash: '', backboneSha256: '', trainImagesHash: '' };
  return writeCheckpoint(
    new RunFolder(folder).checkpoint,
    { state, epoch: 3, batch: 0, running, bestValidation: null },
    { metricsBytes: 0, trainingSeconds: 1, engine: 'onnx', ...hashes },
  );
}

export function tinyExperiment(method: Experiment['method']['name'], validation = false): Experiment {
  return experimentSchema.parse({
    task: 'folder',
    data: { validationPercent: validation ? 10 : 0 },
    method: { name: method, rows: 9 },
    training: {
      imageSize: 8,
      batchSize: 6,
      epochs: 3,
      checkpointMinutes: 1e-9,
      learningRate: { masks: 2e-4, weights: 1e-3, batchNorm: 1e-3, head: 0.05 },
    },
  });
}

/** A whole run on the doubles: 43 coloured images of 3 classes to train, 17 to test. */
export function tinyInputs(
  method: Experiment['method']['name'] = 'xbm',
  changes: Partial<RunInputs> & { validation?: boolean } = {},
): RunInputs {
  const { validation = false, ...rest } = changes;
  const experiment = tinyExperiment(method, validation);
  const loader = (mode: 'train' | 'evaluate', samples: number, seed: number) =>
    new ColourLoader({ samples, classes: 3, batchSize: 6, mode, seed });
  return {
    experiment,
    configHash: configHash(experiment),
    configText: experimentToYaml(experiment),
    backbone: tinyBackbone(),
    classes: ['red', 'green', 'blue'],
    engine: new DoubleEngine(),
    loaders: {
      train: loader('train', 43, 1),
      validation: validation ? loader('evaluate', 9, 2) : null,
      test: loader('evaluate', 17, 3),
    },
    ...rest,
  };
}

/** What must not depend on when, how fast and in how many starts a run was made. */
export function reproducibleFiles(folder: RunFolder): Record<string, string> {
  const files = [folder.config, folder.metrics, folder.task, folder.summary];
  return Object.fromEntries(files.map((file) => [file.slice(folder.path.length), readFileSync(file, 'hex')]));
}
