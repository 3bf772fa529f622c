/** @file What the native engine's sessions promise besides numbers. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TaskState } from '../../../src/adaption/parameters.js';
import { createNativeEngine } from '../../../src/engines/native/index.js';
import { ProgramBuilder } from '../../../src/engines/native/program.js';
import type { Precision } from '../../../src/engines/native/taskWeights.js';
import { ExitCode, UserError } from '../../../src/errors.js';
import { learningRates, tinyBatch, tinyMethod, tinyPlan, tinyState } from '../fixtures.js';
import { sessionsKeepPromises } from '../sessionPromises.js';
import { installedAddon } from './variants.js';

const installed = installedAddon();
const skip = installed ? false : 'the native kernels are not built: npm run setup:native';
const plan = tinyPlan({ network: 'basic' });
const batch = tinyBatch(plan);
const open = (threads: number) => createNativeEngine(installed!.addon, installed!.facts, { threads });

describe('native sessions', { skip }, () => {
  sessionsKeepPromises(open, [1, 2, 5]);

  test('masks that flip back and forth leave the weights of a fresh session', async () => {
    const wild = { ...learningRates, masks: 1 };
    const session = await open(2).openTraining(plan, tinyState(plan));
    for (let step = 0; step < 6; step++)
      await (await session.trainStep(batch, { step, learningRates: wild })).metrics;
    const middle = await session.readState();
    const { metrics } = await session.trainStep(batch, { step: 6, learningRates: wild });
    const { loss } = await metrics;
    const flipped = countFlips(tinyState(plan), middle);
    assert.ok(flipped > 10, `${flipped} scores on the other side of the threshold`);
    await session.close();
    const fresh = await open(2).openTraining(plan, middle);
    assert.equal((await (await fresh.trainStep(batch, { step: 6, learningRates: wild })).metrics).loss, loss);
    await fresh.close();
  });

  for (const [method, name] of [
    ['xbm', 'layer1.0.bn1.weight'],
    ['finetune', 'layer1.0.conv1.weight'],
  ] as const) {
    test(`${method}: a value that is not finite in ${name} makes the loss NaN`, async () => {
      const own = tinyPlan({ network: 'basic', method: tinyMethod(method) });
      const lossOf = async (state: TaskState) => {
        const session = await open(2).openTraining(own, state);
        const { loss } = await (await session.trainStep(batch, { step: 0, learningRates })).metrics;
        await session.close();
        return loss;
      };
      assert.ok(Number.isFinite(await lossOf(tinyState(own))));
      const diverged = tinyState(own);
      diverged.tensors[name][0] = Number.NaN;
      assert.equal(await lossOf(diverged), Number.NaN);
    });
  }

  test('a step with such a value does not make the loss of the next one NaN', async () => {
    const { addon } = installed!;
    const builder = new ProgramBuilder(addon);
    const [classes, padded] = [3, 16];
    const floats = (label: string, ...values: number[]) =>
      builder.persistent(label, 4 * values.length, Float32Array.from(values));
    const metrics = floats('metrics', 0, 0);
    builder.call('loss', {
      problem: floats('set before the first step', 1),
      logits: floats('logits', ...new Array(padded).fill(0)),
      labels: builder.persistent('labels', 4),
      gradient: floats('gradient', ...new Array(padded).fill(0)),
      metrics,
      batch: 1,
      classes,
      padded,
    });
    const program = builder.finish(1);
    const losses = [];
    for (let step = 0; step < 2; step++) {
      await program.run(Object.fromEntries(addon.stepValues.map((name) => [name, 0])));
      losses.push(program.floatsOf(metrics, 2)[0]);
    }
    assert.deepEqual(losses, [Number.NaN, Math.fround(Math.log(classes))]);
    program.close();
  });

  test('products that a build has not are refused', () => {
    const { addon, facts } = installed!;
    const without = { ...addon, hasInt8: 0, hasBfloat16: 0, hasFixed16: 0 };
    const create = (precision: Precision) => () =>
      createNativeEngine(without, facts, { threads: 1, precision });
    assert.throws(create({ forward: 'levels8', backward: 'float32' }), /no int8 products/);
    assert.throws(create({ forward: 'float32', backward: 'bfloat16' }), /no bfloat16 products/);
    assert.throws(create({ forward: 'float32', backward: 'fixed16' }), /no fixed-point products/);
  });

  test('a submitted step has its batch: the caller may fill it anew at once', async () => {
    const step = async (spoil: boolean) => {
      const session = await open(1).openTraining(plan, tinyState(plan));
      const own = { pixels: batch.pixels.slice(), labels: batch.labels.slice() };
      const first = await session.trainStep(own, { step: 0, learningRates });
      const second = await session.trainStep(own, { step: 1, learningRates });
      if (spoil) {
        own.pixels.fill(0);
        own.labels.fill(0);
      }
      const losses = [(await first.metrics).loss, (await second.metrics).loss];
      await session.close();
      return losses;
    };
    assert.deepEqual(await step(true), await step(false));
  });

  test('a closed session refuses steps', async () => {
    const session = await open(1).openTraining(plan, tinyState(plan));
    await session.close();
    const { metrics } = await session.trainStep(batch, { step: 0, learningRates });
    await assert.rejects(metrics, /closed/);
  });

  test('a batch that no memory holds is refused with how much it takes', async () => {
    await assert.rejects(
      open(1).openTraining({ ...plan, batchSize: 2 ** 26 }, tinyState(plan)),
      (error: UserError) => {
        assert.ok(error instanceof UserError);
        assert.match(error.message, /out of memory in the native engine: a step takes \d+ MiB, of \d+ MiB/);
        assert.match(error.hint!, /training\.batchSize/);
        assert.equal(error.exitCode, ExitCode.unavailable);
        return true;
      },
    );
  });
});

function countFlips(before: TaskState, after: TaskState): number {
  const { threshold } = plan.method.mask!;
  let flips = 0;
  for (const [name, scores] of Object.entries(before.tensors)) {
    if (!name.endsWith('.scores')) continue;
    scores.forEach((score, i) => {
      flips += Number(score >= threshold !== after.tensors[name][i] >= threshold);
    });
  }
  return flips;
}
