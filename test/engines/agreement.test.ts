/**
 * @file Every engine against the reference: from the same state and batch, the same loss, gradients, optimiser step,
 * running statistics and logits. Gradients are read from one plain SGD step of learning rate 1 and from Adam's first
 * moment: after an Adam step every parameter moved by about the learning rate, so parameters would prove nothing.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { taskTensors } from '../../src/adaption/parameters.js';
import type { Engine } from '../../src/engines/engine.js';
import { listEngines, openEngine } from '../../src/engines/registry.js';
import { gradients } from '../../src/engines/tfjs/gradients.js';
import { assertClose, largest } from './assert-close.js';
import { type AgreementCase, agreementCases, separatedCase } from './cases.js';
import { learningRates, plainSgd } from './fixtures.js';
import { inferenceAgrees } from './inference-agreement.js';
import { optimizersAgree } from './optimizer-agreement.js';

/** Of float32 engines, relative to the largest value of a tensor. */
const tolerance = { loss: 1e-5, gradient: 5e-5, moment: 1e-4, statistic: 1e-5 };
const ones = { masks: 1, weights: 1, batchNorm: 1, head: 1 };

const cases = new Map<string, AgreementCase>();
const caseOf = (title: string): AgreementCase => {
  if (!cases.has(title)) cases.set(title, separatedCase(agreementCases[title]));
  return cases.get(title)!;
};

for (const status of await listEngines()) {
  const skip = status.available ? false : `engine ${status.name} cannot run here: ${status.detail}`;
  const opened = status.available ? await openEngine(status.name, { threads: 2 }) : null;
  describe(`engine ${status.name}`, { skip }, () => {
    if (!opened) return;
    const { engine } = opened;
    for (const title of Object.keys(agreementCases)) {
      test(`${title}: loss and gradients of a plain SGD step`, () => sgdStepAgrees(engine, caseOf(title)));
      test(`${title}: loss and moments of an Adam step`, () => adamStepAgrees(engine, caseOf(title)));
      test(`${title}: logits and taps of the folded network`, () => inferenceAgrees(engine, caseOf(title)));
    }
    optimizersAgree(engine);
  });
}

async function oneStep(engine: Engine, { plan, state, batch, expected }: AgreementCase, rates: typeof ones) {
  const session = await engine.openTraining(plan, state);
  try {
    const { metrics } = await session.trainStep(batch, { step: 0, learningRates: rates });
    const { loss, correct } = await metrics;
    assertClose([loss], [expected.loss], tolerance.loss, 'loss');
    assert.equal(correct, countCorrect(expected.logits, batch.labels));
    const after = await session.readState();
    assert.equal(after.step, 1);
    return after;
  } finally {
    await session.close();
  }
}

async function sgdStepAgrees(engine: Engine, agreementCase: AgreementCase): Promise<void> {
  const { state, batch, expected } = agreementCase;
  const plan = { ...agreementCase.plan, optimizer: plainSgd };
  const moments = Object.fromEntries(
    taskTensors(plan.graph, plan.method)
      .filter(({ role }) => role === 'trained')
      .map(({ name }) => [`${name}.momentum`, new Float32Array(state.tensors[name].length)]),
  );
  const sgdState = { ...state, moments };
  const reference = await gradients(plan, sgdState, batch, 0);
  const after = await oneStep(engine, { ...agreementCase, plan, state: sgdState }, ones);
  const floor = gradientFloor(reference.gradients);
  for (const { name, role } of taskTensors(plan.graph, plan.method)) {
    const before = state.tensors[name];
    if (role === 'constant') assert.deepEqual(after.tensors[name], before, name);
    if (role !== 'trained') continue;
    const moved = before.map((value, i) => value - after.tensors[name][i]);
    // Parameters near 1 keep only absolute differences of 1e-7.
    assertClose(
      moved,
      reference.gradients[name],
      tolerance.gradient,
      `gradient of ${name}`,
      Math.max(floor, 5e-3),
    );
  }
  for (const [layer, { mean, unbiasedVariance }] of expected.statistics) {
    const running = (name: string, statistic: Float64Array) =>
      Float64Array.from(state.tensors[name], (value, i) => 0.9 * value + 0.1 * statistic[i]);
    for (const [name, statistic] of [
      [`${layer}.running_mean`, mean],
      [`${layer}.running_var`, unbiasedVariance],
    ] as const) {
      assertClose(after.tensors[name], running(name, statistic), tolerance.statistic, name);
    }
  }
}

async function adamStepAgrees(engine: Engine, agreementCase: AgreementCase): Promise<void> {
  const { plan, state, batch } = agreementCase;
  const reference = await gradients(plan, state, batch, 0);
  const after = await oneStep(engine, agreementCase, learningRates);
  const floor = gradientFloor(reference.gradients);
  for (const [name, gradient] of Object.entries(reference.gradients)) {
    const first = after.moments[`${name}.m`].map((m) => m / (1 - 0.9));
    assertClose(first, gradient, tolerance.gradient, `first moment of ${name}`, floor);
    const second = after.moments[`${name}.v`].map((v) => v / (1 - 0.999));
    assertClose(
      second,
      gradient.map((g) => g * g),
      tolerance.moment,
      `second moment of ${name}`,
      floor ** 2,
    );
  }
}

/** Batch norm makes the loss indifferent to a filter's scale: such gradients cancel to 0 up to rounding. */
function gradientFloor(reference: Readonly<Record<string, Float32Array>>): number {
  return 1e-2 * Math.max(...Object.values(reference).map(largest));
}

function countCorrect(logits: Float64Array, labels: Int32Array): number {
  const classes = logits.length / labels.length;
  return labels.reduce((count, label, n) => {
    const row = [...logits.subarray(n * classes, (n + 1) * classes)];
    return count + Number(row.indexOf(Math.max(...row)) === label);
  }, 0);
}
