import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OptimizerSpec } from '../../src/adaption/method.js';
import { momentNames, type TaskState, taskTensors } from '../../src/adaption/parameters.js';
import type { Batch } from '../../src/data/batch.js';
import type { Engine, TrainingPlan } from '../../src/engines/engine.js';
import { gradients } from '../../src/engines/tfjs/gradients.js';
import { assertClose } from './assertClose.js';
import { minimumMargin } from './cases.js';
import { type CaseOptions, learningRates, tinyBatch, tinyMethod, tinyPlan, tinyState } from './fixtures.js';
import { oracle } from './oracle.js';

const steps = 4;
/** By the precision of an engine's gradients; see agreement.test.ts. */
const tolerance = {
  loss: { float32: 1e-4, fixed16: 5e-4, float16: 1e-3, bfloat16: 4e-3 },
  state: { float32: 5e-5, fixed16: 4e-2, float16: 4e-2, bfloat16: 1e-1 },
};
// Adam divides by the gradient's size: a large epsilon keeps gradients that are rounding errors from becoming steps.
const adam: OptimizerSpec = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-2, weightDecay: 1e-2 };
const sgd: OptimizerSpec = { kind: 'sgd', momentum: 0.9, weightDecay: 1e-2 };

const trajectories: Readonly<Record<string, CaseOptions>> = {
  'xbm with noise, Adam': { method: tinyMethod('xbm', { noise: true }), optimizer: adam },
  'xbm, SGD': { method: tinyMethod('xbm'), optimizer: sgd, network: 'basic' },
  'piggyback, Adam': { method: tinyMethod('piggyback'), optimizer: adam, network: 'basic' },
  'finetune, SGD': { method: tinyMethod('finetune'), optimizer: sgd },
  'finetune, Adam': { method: tinyMethod('finetune'), optimizer: adam, network: 'basic' },
  'classifier, Adam': { method: tinyMethod('classifier'), optimizer: adam },
};

/** Declares tests of several steps with decay and momentum, and of resuming. */
export function optimizersAgree(engine: Engine): void {
  for (const [title, options] of Object.entries(trajectories)) {
    test(`${steps} steps of ${title} follow the optimiser's closed form`, () =>
      trajectoryAgrees(engine, options));
  }
  for (const title of ['xbm with noise, Adam', 'finetune, SGD']) {
    test(`${title}: resuming from a read state is bit-identical`, () => resumes(engine, trajectories[title]));
  }
}

async function trajectoryAgrees(engine: Engine, options: CaseOptions): Promise<void> {
  const { gradientPrecision: precision } = engine;
  const plan = tinyPlan(options);
  let expected = tinyState(plan);
  const session = await engine.openTraining(plan, expected);
  try {
    for (let step = 0; step < steps; step++) {
      const batch = separatedBatch(plan, expected, step);
      const reference = await gradients(plan, expected, batch, step);
      const { metrics } = await session.trainStep(batch, { step, learningRates });
      assertClose(
        [(await metrics).loss],
        [reference.loss],
        tolerance.loss[precision],
        `loss of step ${step}`,
      );
      const actual = await session.readState();
      expected = closedForm(plan, expected, reference.gradients, step);
      assert.equal(actual.step, expected.step);
      for (const kind of ['tensors', 'moments'] as const) {
        for (const [name, values] of Object.entries(expected[kind])) {
          if (name.includes('running')) continue; // compared in single steps
          assertClose(
            actual[kind][name],
            values,
            tolerance.state[precision],
            `${name} after step ${step}`,
            1e-2,
          );
        }
      }
    }
  } finally {
    await session.close();
  }
}

/** A batch in which float32 errors flip no quantisation level: see cases.ts. */
function separatedBatch(plan: TrainingPlan, { tensors }: TaskState, step: number): Batch {
  for (let seed = 1; seed <= 200; seed++) {
    const batch = tinyBatch(plan, 1000 * step + seed);
    const { margin } = oracle({ ...plan, tensors, batch, training: { seed: plan.seed, step } });
    if (margin >= minimumMargin) return batch;
  }
  throw new Error('no seed keeps every value clear of rounding boundaries');
}

/** The state after one optimiser step, in float64. */
function closedForm(
  { graph, method, optimizer }: TrainingPlan,
  state: TaskState,
  gradient: Readonly<Record<string, Float32Array>>,
  step: number,
): TaskState {
  const next: TaskState = { step: step + 1, tensors: { ...state.tensors }, moments: {} };
  for (const { name, group, role } of taskTensors(graph, method)) {
    if (role !== 'trained') continue;
    const rate = learningRates[group];
    const parameter = state.tensors[name];
    const decayed = parameter.map((value, i) => gradient[name][i] + optimizer.weightDecay * value);
    const [first, second] = momentNames(name, optimizer.kind);
    if (optimizer.kind === 'sgd') {
      const buffer = state.moments[first].map((value, i) => optimizer.momentum * value + decayed[i]);
      next.moments[first] = buffer;
      next.tensors[name] = parameter.map((value, i) => value - rate * buffer[i]);
    } else {
      const { beta1, beta2, epsilon } = optimizer;
      const m = state.moments[first].map((value, i) => beta1 * value + (1 - beta1) * decayed[i]);
      const v = state.moments[second].map((value, i) => beta2 * value + (1 - beta2) * decayed[i] ** 2);
      const [mScale, vScale] = [1 - beta1 ** (step + 1), 1 - beta2 ** (step + 1)];
      next.moments[first] = m;
      next.moments[second] = v;
      next.tensors[name] = parameter.map(
        (value, i) => value - (rate * (m[i] / mScale)) / (Math.sqrt(v[i] / vScale) + epsilon),
      );
    }
  }
  return next;
}

async function resumes(engine: Engine, options: CaseOptions): Promise<void> {
  const plan = tinyPlan(options);
  const train = async (state: TaskState, from: number, to: number): Promise<TaskState> => {
    const session = await engine.openTraining(plan, state);
    for (let step = from; step < to; step++) {
      const { metrics } = await session.trainStep(tinyBatch(plan, step), { step, learningRates });
      await metrics;
    }
    const after = await session.readState();
    await session.close();
    return after;
  };
  const start = tinyState(plan);
  const untouched = structuredClone(start);
  const uninterrupted = await train(start, 0, steps);
  assert.deepEqual(start, untouched, 'a session must not write into the state it is given');
  assert.deepEqual(await train(await train(start, 0, 2), 2, steps), uninterrupted);
}
