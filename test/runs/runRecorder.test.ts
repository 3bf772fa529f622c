import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RunRecorder } from '../../src/runs/runRecorder.js';
import { fields, readEvents } from './eventReader.js';
import { temporaryRun } from './fixtures.js';

const EVENT = { step: 2, sessionLog: 7 };

test('resumed after a whole epoch, the events keep its last step and its epoch point', (t) => {
  const folder = temporaryRun(t);
  mkdirSync(folder.path);
  const context = { engine: 'onnx', configHash: '', backboneSha256: '', trainImagesHash: '' } as const;
  const record = (stepsDone: number, steps: readonly number[]): void => {
    const recorder = new RunRecorder({
      folder,
      groups: [],
      stepsDone,
      metricsBytes: 0,
      secondsDone: 0,
      context,
    });
    const rates = { masks: 0, weights: 0, batchNorm: 0, head: 0 };
    const means = { epoch: 0, loss: 1, accuracy: 50 };
    for (const step of steps) recorder.step({ ...means, step, learningRates: rates });
    recorder.epoch({ ...means, steps: steps[steps.length - 1] + 1, shareOff: 0, validation: null });
    recorder.close();
  };
  record(0, [0, 1, 2]);
  record(3, [3, 4, 5]);
  const [first, second] = readdirSync(folder.path)
    .filter((name) => name.startsWith('events.'))
    .sort()
    .map((name) => readEvents(join(folder.path, name)));
  const isStart = (event: Map<number, unknown>) => event.has(EVENT.sessionLog);
  assert.equal(first.some(isStart), false);
  const start = second.find(isStart)!;
  assert.deepEqual(fields(start.get(EVENT.sessionLog)![0] as Buffer).get(1), [1]);
  // TensorBoard keeps of older files what comes before the step of a start.
  const [from] = start.get(EVENT.step) as number[];
  const stepsOf = (events: typeof first) =>
    events.filter((event) => event.has(5)).map((event) => event.get(EVENT.step)![0] as number);
  assert.deepEqual(
    [...stepsOf(first).filter((step) => step < from), ...stepsOf(second)],
    [1, 2, 3, 3, 4, 5, 6, 6],
  );
});
