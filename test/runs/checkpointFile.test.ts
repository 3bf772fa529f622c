import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { initialTaskState } from '../../src/adaption/parameters.js';
import { peekCheckpoint, readCheckpoint, writeCheckpoint } from '../../src/runs/checkpointFile.js';
import { trainingPlan } from '../../src/training/plan.js';
import { tinyBackbone } from '../training/doubles.js';
import { temporaryFolder, tinyExperiment } from './fixtures.js';
import { assertOnlyUserErrors, fuzzRuns, mutate, withoutChecksum } from './mutations.js';

const plan = trainingPlan(tinyExperiment('xbm'), tinyBackbone(), 3);
const state = initialTaskState(plan.graph, plan.backbone, plan.method, plan.optimizer, 1);
const checkpoint = {
  state: { ...state, step: 9 },
  epoch: 1,
  batch: 2,
  running: { lossSum: 0.1 + 0.2, correct: 5, images: 12, batches: 2 },
  bestValidation: { accuracy: 100 / 3, epoch: 0 },
};
const context = {
  metricsBytes: 1234,
  trainingSeconds: 5.5,
  engine: 'onnx' as const,
  configHash: 'c',
  backboneSha256: 'b',
  trainImagesHash: 't',
};

test('a checkpoint reads back exactly, doubles included', async (t) => {
  const file = join(temporaryFolder(t), 'checkpoint.safetensors');
  await writeCheckpoint(file, checkpoint, context);
  assert.deepEqual(await readCheckpoint(file, plan), { checkpoint, ...context });
  assert.deepEqual(await peekCheckpoint(file), { step: 9, epoch: 1, ...context });
});

test('a checkpoint of another method or network does not fit', async (t) => {
  const file = join(temporaryFolder(t), 'checkpoint.safetensors');
  await writeCheckpoint(file, checkpoint, context);
  const finetune = trainingPlan(tinyExperiment('finetune'), tinyBackbone(), 3);
  await assert.rejects(
    readCheckpoint(file, finetune),
    /"tensors.conv1.weight" should be F32 of 108 elements/,
  );
  const classes = trainingPlan(tinyExperiment('xbm'), tinyBackbone(), 4);
  await assert.rejects(readCheckpoint(file, classes), /"tensors.fc.weight" should be F32 of 16 elements/);
});

test('a checkpoint of another version of xbm is called that, not damaged', async (t) => {
  const file = join(temporaryFolder(t), 'checkpoint.safetensors');
  await writeCheckpoint(file, checkpoint, context);
  const older = readFileSync(file).toString('latin1').replace('xbm-checkpoint-2', 'xbm-checkpoint-1');
  writeFileSync(file, older, 'latin1');
  await assert.rejects(peekCheckpoint(file), {
    message: `${file}: no usable checkpoint: another version of xbm wrote it (xbm-checkpoint-1; this one reads xbm-checkpoint-2)`,
    hint: 'Train again from the start with --force.',
  });
});

test('when it cannot be written, the old checkpoint is intact and nothing else is left', async (t) => {
  if (process.getuid?.() === 0) return t.skip('root may write everywhere');
  const folder = temporaryFolder(t);
  const file = join(folder, 'checkpoint.safetensors');
  await writeCheckpoint(file, checkpoint, context);
  const before = readFileSync(file);
  chmodSync(folder, 0o500);
  await assert.rejects(writeCheckpoint(file, { ...checkpoint, epoch: 2 }, context));
  chmodSync(folder, 0o700);
  assert.deepEqual(readFileSync(file), before);
  assert.deepEqual(readdirSync(folder), ['checkpoint.safetensors']);
});

test('damaged checkpoints end in user errors or in finite values', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'checkpoint.safetensors');
  await writeCheckpoint(file, checkpoint, context);
  const intact = withoutChecksum(readFileSync(file));
  await fc.assert(
    fc.asyncProperty(mutate(intact), async (bytes) => {
      writeFileSync(file, bytes);
      await assertOnlyUserErrors(async () => {
        const read = await readCheckpoint(file, plan);
        for (const values of Object.values(read.checkpoint.state.tensors))
          assert.ok(values.every(Number.isFinite));
      });
    }),
    { numRuns: fuzzRuns() },
  );
});
