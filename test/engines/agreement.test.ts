/**
 * @file Every engine against the reference: from the same state and batch, the same loss, gradients, optimiser step,
 * running statistics and logits. Gradients are read from Adam's first moment, and from plain SGD steps of learning rate
 * 1: after an Adam step every parameter moved by about the learning rate, so parameters would prove nothing.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { initialTaskState, taskTensors } from '../../src/adaption/parameters.js';
import type { Engine } from '../../src/engines/engine.js';
import { listEngines, openEngine } from '../../src/engines/registry.js';
import { gradients } from '../../src/engines/tfjs/gradients.js';
import { createWebGpuEngine } from '../../src/engines/webgpu/index.js';
import { layersOfKind } from '../../src/model/graph.js';
import { assertClose, largest } from './assertClose.js';
import { type AgreementCase, agreementCases, separatedCase } from './cases.js';
import { learningRates, plainSgd, tinyBatch, tinyMethod, tinyPlan } from './fixtures.js';
import { inferenceAgrees } from './inferenceAgreement.js';
import { nativeVariants } from './native/variants.js';
import { optimizersAgree } from './optimizerAgreement.js';

/** Relative to the largest value of a tensor. Forward passes of networks as small as these are float32 or exact in every engine. */
const tolerance = {
  loss: 1e-5,
  statistic: 1e-5,
  /** By precision: float16 has 11 bits, bfloat16 8, and errors add up on the way back to the first layer. */
  gradient: { float32: 5e-5, fixed16: 3e-2, float16: 2e-2, bfloat16: 1e-1 },
  moment: { float32: 1e-4, fixed16: 6e-2, float16: 4e-2, bfloat16: 2e-1 },
};
const onePerMethod = ['xbm, basic blocks', 'piggyback', 'finetune, 4 bits', 'classifier'];
const ones = { masks: 1, weights: 1, batchNorm: 1, head: 1 };

const cases = new Map<string, AgreementCase>();
const caseOf = (title: string): AgreementCase => {
  if (!cases.has(title)) cases.set(title, separatedCase(agreementCases[title]));
  return cases.get(title)!;
};

/** Set by scripts that test one engine on another device: the others were tested already. */
const only = process.env.XBM_TEST_ENGINE;

for (const status of await listEngines()) {
  if (only && status.name !== only) continue;
  const skip = status.available ? false : `engine ${status.name} cannot run here: ${status.detail}`;
  const opened = status.available ? await openEngine(status.name, { threads: 2 }) : null;
  agrees(`engine ${status.name}`, skip, opened?.engine);
  if (opened?.engine.name === 'webgpu' && opened.engine.gradientPrecision !== 'float32') {
    agrees('engine webgpu, 32 bits in memory', false, await createWebGpuEngine('products'));
    agrees('engine webgpu without matrix units', false, await createWebGpuEngine('float32'));
  }
  if (opened?.engine.name === 'native') {
    for (const variant of await nativeVariants()) agrees(variant.engine.device, false, variant.engine);
  }
}

function agrees(title: string, skip: false | string, engine?: Engine): void {
  describe(title, { skip }, () => {
    if (!engine) return;
    for (const title of Object.keys(agreementCases)) {
      test(`${title}: loss, gradients, running statistics`, () => adamStepAgrees(engine, caseOf(title)));
      test(`${title}: logits and taps of the folded network`, () =>
        inferenceAgrees(engine, caseOf(title), { taps: true }));
      test(`${title}: logits without taps`, () => inferenceAgrees(engine, caseOf(title), { taps: false }));
    }
    for (const title of onePerMethod) {
      test(`${title}: one plain SGD step`, () => sgdStepAgrees(engine, caseOf(title)));
    }
    test('finetune trains weights that start on the largest level', () => largestLevelsAreTrained(engine));
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

async function adamStepAgrees(engine: Engine, agreementCase: AgreementCase): Promise<void> {
  const { plan, state, batch, expected } = agreementCase;
  const reference = await gradients(plan, state, batch, 0);
  const after = await oneStep(engine, agreementCase, learningRates);
  const floor = gradientFloor(reference.gradients);
  for (const [name, gradient] of Object.entries(reference.gradients)) {
    const first = after.moments[`${name}.m`].map((m) => m / (1 - 0.9));
    assertClose(
      first,
      gradient,
      tolerance.gradient[engine.gradientPrecision],
      `first moment of ${name}`,
      floor,
    );
    const second = after.moments[`${name}.v`].map((v) => v / (1 - 0.999));
    const squares = gradient.map((g) => g * g);
    assertClose(
      second,
      squares,
      tolerance.moment[engine.gradientPrecision],
      `second moment of ${name}`,
      floor ** 2,
    );
  }
  for (const { name, role } of taskTensors(plan.graph, plan.method)) {
    if (role === 'constant') assert.deepEqual(after.tensors[name], state.tensors[name], name);
  }
  for (const [layer, { mean, unbiasedVariance }] of expected.statistics) {
    for (const [name, statistic] of [
      [`${layer}.running_mean`, mean],
      [`${layer}.running_var`, unbiasedVariance],
    ] as const) {
      const running = Float64Array.from(state.tensors[name], (value, i) => 0.9 * value + 0.1 * statistic[i]);
      assertClose(after.tensors[name], running, tolerance.statistic, name);
    }
  }
}

async function sgdStepAgrees(engine: Engine, agreementCase: AgreementCase): Promise<void> {
  const plan = { ...agreementCase.plan, optimizer: plainSgd };
  const { tensors } = agreementCase.state;
  const trained = taskTensors(plan.graph, plan.method).filter(({ role }) => role === 'trained');
  const moments = trained.map(({ name }) => [`${name}.momentum`, new Float32Array(tensors[name].length)]);
  const state = { step: 0, tensors, moments: Object.fromEntries(moments) };
  const reference = await gradients(plan, state, agreementCase.batch, 0);
  const after = await oneStep(engine, { ...agreementCase, plan, state }, ones);
  // Parameters near 1 keep differences of 1e-7 at best.
  const floor = Math.max(gradientFloor(reference.gradients), 5e-3);
  for (const { name } of trained) {
    const moved = tensors[name].map((value, i) => value - after.tensors[name][i]);
    assertClose(
      moved,
      reference.gradients[name],
      tolerance.gradient[engine.gradientPrecision],
      `gradient of ${name}`,
      floor,
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

/** |w/scale| ≤ 7 may round to false where w = 7 · scale: such weights must not be left without a gradient. */
async function largestLevelsAreTrained(engine: Engine): Promise<void> {
  const plan = tinyPlan({ method: tinyMethod('finetune'), optimizer: plainSgd, network: 'basic' });
  const state = initialTaskState(plan.graph, plan.backbone, plan.method, plan.optimizer, 1);
  const session = await engine.openTraining(plan, state);
  const { metrics } = await session.trainStep(tinyBatch(plan), { step: 0, learningRates: ones });
  await metrics;
  const after = await session.readState();
  await session.close();
  let checked = 0;
  for (const { name } of layersOfKind(plan.graph, 'conv')) {
    const weights = plan.backbone.convs[name];
    assert.ok(weights.kind === 'levels');
    const { levels, scales } = weights;
    const perFilter = levels.length / scales.length;
    const [before, moved] = [state.tensors[`${name}.weight`], after.tensors[`${name}.weight`]];
    const hasMoved = (i: number) => before[i] !== moved[i];
    for (let i = 0; i < levels.length; i++) {
      const filter = Math.floor(i / perFilter) * perFilter;
      const isAlive = levels
        .subarray(filter, filter + perFilter)
        .every((_, k) => hasMoved(filter + k) || Math.abs(levels[filter + k]) === 7);
      if (Math.abs(levels[i]) !== 7 || !isAlive) continue;
      assert.ok(hasMoved(i), `${name}, weight ${i}`);
      checked++;
    }
  }
  assert.ok(checked > 20, `only ${checked} weights on the largest level`);
}
