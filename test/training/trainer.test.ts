import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MethodSpec } from '../../src/adaption/method.js';
import type { TrainingPlan } from '../../src/engines/engine.js';
import { ExitCode, UserError } from '../../src/errors.js';
import { withClasses } from '../../src/model/graph.js';
import type { Checkpoint, EpochRecord, Recorder, StepRecord } from '../../src/training/recorder.js';
import { type TrainerOptions, train } from '../../src/training/trainer.js';
import { ColourLoader, copyState, DoubleEngine, tinyBackbone } from './doubles.js';

const xbm: MethodSpec = {
  name: 'xbm',
  mask: {
    granularity: 'column',
    rows: 9,
    binarizer: 'sigmoid',
    threshold: 0.005,
    slope: 12,
    noise: false,
    initialScore: 0.01,
  },
  trainWeights: false,
  trainBatchNorm: true,
};

class MemoryRecorder implements Recorder {
  readonly steps: StepRecord[] = [];
  readonly epochs: EpochRecord[] = [];
  readonly checkpoints: Checkpoint[] = [];

  step(record: StepRecord): void {
    this.steps.push(record);
  }
  epoch(record: EpochRecord): void {
    this.epochs.push(record);
  }
  async checkpoint(checkpoint: Checkpoint): Promise<void> {
    this.checkpoints.push({ ...checkpoint, state: copyState(checkpoint.state) });
  }
}

const loader = new ColourLoader({ samples: 43, classes: 3, batchSize: 6, mode: 'train' });

function options(changes: Partial<TrainerOptions> = {}): TrainerOptions & { recorder: MemoryRecorder } {
  const backbone = tinyBackbone();
  const plan: TrainingPlan = {
    graph: withClasses(backbone.graph, 3),
    backbone,
    method: xbm,
    optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    batchSize: 6,
    imageSize: 8,
    seed: 3,
  };
  return {
    engine: new DoubleEngine(),
    plan,
    loader,
    epochs: 3,
    schedule: { kind: 'cosine' },
    learningRates: { masks: 2e-4, weights: 0, batchNorm: 1e-3, head: 0.05 },
    checkpointSeconds: 0,
    ...changes,
    recorder: new MemoryRecorder(),
  };
}

test('trains: the loss falls, records are complete and in order, steps overlap by two', async () => {
  const engine = new DoubleEngine();
  const run = options({ engine, epochs: 12 });
  const { finished, checkpoint } = await train(run);
  const { steps, epochs } = run.recorder;
  assert.ok(finished);
  assert.equal(checkpoint.state.step, 12 * 7);
  assert.deepEqual(
    steps.map(({ step, epoch }) => [step, epoch]),
    Array.from({ length: 84 }, (_, step) => [step, Math.floor(step / 7)]),
  );
  assert.ok(epochs[11].loss < 0.7 * epochs[0].loss, `${epochs[0].loss} → ${epochs[11].loss}`);
  const mean = steps.slice(0, 7).reduce((sum, { loss }) => sum + loss, 0) / 7;
  assert.ok(Math.abs(epochs[0].loss - mean) < 1e-12);
  assert.ok(engine.mostInFlight <= 2);
  assert.ok(
    steps.every(
      ({ learningRates }, i) =>
        Math.abs(learningRates.head - 0.025 * (1 + Math.cos((Math.PI * i) / 84))) < 1e-15,
    ),
  );
});

test('at most two steps are in flight, and two are', async () => {
  const engine = new DoubleEngine();
  await train(options({ engine, checkpointSeconds: 1e9 }));
  assert.equal(engine.mostInFlight, 2);
});

test('resuming from any checkpoint ends in the same bits and records', async () => {
  const whole = options();
  const end = await train(whole);
  assert.equal(whole.recorder.checkpoints.length, 21);
  for (const resume of whole.recorder.checkpoints) {
    const rest = options({ resume: { ...resume, state: copyState(resume.state) } });
    const { checkpoint } = await train(rest);
    assert.deepEqual(checkpoint, end.checkpoint);
    assert.deepEqual(rest.recorder.steps, whole.recorder.steps.slice(resume.state.step));
    assert.deepEqual(rest.recorder.epochs, whole.recorder.epochs.slice(resume.epoch));
  }
});

test('a signal stops after the step in progress, wherever it is, and the rest follows exactly', async () => {
  const end = await train(options());
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 20 }), async (stopAt) => {
      const controller = new AbortController();
      const engine = new DoubleEngine({ onStep: (step) => step === stopAt && controller.abort() });
      const first = options({ engine, signal: controller.signal, checkpointSeconds: 1e9 });
      const { finished, checkpoint } = await train(first);
      assert.equal(finished, stopAt === 20);
      assert.equal(checkpoint.state.step, stopAt + 1);
      assert.equal(first.recorder.steps.length, stopAt + 1);
      assert.deepEqual(first.recorder.checkpoints.at(-1), checkpoint);
      const { checkpoint: last } = await train(options({ resume: checkpoint }));
      assert.deepEqual(last, end.checkpoint);
    }),
    { numRuns: 21 },
  );
});

test('a NaN loss ends the run with a clear message and leaves the last checkpoint finite', async () => {
  const run = options({ engine: new DoubleEngine({ nanAtStep: 9 }) });
  await assert.rejects(train(run), (error: unknown) => {
    assert.ok(error instanceof UserError);
    assert.equal(error.exitCode, ExitCode.failed);
    assert.match(error.message, /loss of step 10 is NaN/);
    assert.match(
      error.hint ?? '',
      /^Lower training.learningRate \(at most .*\) and train again; --force starts/,
    );
    // In a new folder there may be none.
    assert.doesNotMatch(error.hint ?? '', /checkpoint/);
    return true;
  });
  const last = run.recorder.checkpoints.at(-1);
  assert.equal(last?.state.step, 9);
});

test('a parameter that is not finite is caught before it reaches a checkpoint', async () => {
  const run = options({ learningRates: { masks: 0, weights: 0, batchNorm: 1e300, head: 0 } });
  await assert.rejects(train(run), /diverged: after step 1 .*bn1\.weight\[0\] is -?(Infinity|NaN)/);
  assert.equal(run.recorder.checkpoints.length, 0);
});

test('validation runs after each epoch and the best is kept, with the first epoch winning ties', async () => {
  const results = [40, 70, 70];
  const run = options({ validate: async () => ({ loss: 1, accuracy: results.shift()! }) });
  const { checkpoint } = await train(run);
  assert.deepEqual(checkpoint.bestValidation, { accuracy: 70, epoch: 1 });
  assert.deepEqual(
    run.recorder.epochs.map(({ validation }) => validation?.accuracy),
    [40, 70, 70],
  );
});

test('fewer images than one batch, and a checkpoint of another data set, are user errors', async () => {
  const few = new ColourLoader({ samples: 5, classes: 3, batchSize: 6, mode: 'train' });
  await assert.rejects(train(options({ loader: few })), /5 training images do not fill one batch of 6/);
  const { recorder } = await trained();
  const more = new ColourLoader({ samples: 60, classes: 3, batchSize: 6, mode: 'train' });
  await assert.rejects(
    train(options({ loader: more, resume: recorder.checkpoints[10] })),
    /batch 4 of this training set is step 14/,
  );
});

async function trained() {
  const run = options();
  await train(run);
  return run;
}
