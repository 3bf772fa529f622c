/**
 * @file Networks wider than those of the agreement tests: channels beyond one block of element-wise layers, several panels
 * and pieces. In full precision against the onnx engine, which no level can flip; then products in int8, and gradients in
 * bfloat16 or fixed point, against the same step in float32, whose levels they share exactly.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MethodName } from '../../../src/adaption/method.js';
import { initialTaskState } from '../../../src/adaption/parameters.js';
import type { Engine, TrainingPlan } from '../../../src/engines/engine.js';
import { bestPrecision, createNativeEngine } from '../../../src/engines/native/index.js';
import { createOnnxEngine } from '../../../src/engines/onnx/index.js';
import { buildNetwork } from '../../../src/model/networks.js';
import { adam, learningRates, randomPlan, tinyBatch, tinyMethod } from '../fixtures.js';
import { float32, installedAddon } from './variants.js';

const installed = installedAddon();
const skip = installed ? false : 'the native kernels are not built: npm run setup:native';
const native = (precision = {}) =>
  createNativeEngine(installed!.addon, installed!.facts, { threads: 2, ...precision });

function planOf(network: 'resnet18' | 'resnet50', method: MethodName, bits: 4 | 32): TrainingPlan {
  const spec = tinyMethod(method, method === 'xbm' ? { rows: 72 } : {});
  const sizes = { batchSize: 4, imageSize: 64, weightBits: bits, activationBits: bits };
  return randomPlan(buildNetwork(network, 33), 33, { method: spec, ...sizes });
}

/** Adam's first moments after one step are a tenth of the gradients. */
async function momentsOf(engine: Engine, plan: TrainingPlan): Promise<Map<string, Float32Array>> {
  const state = initialTaskState(plan.graph, plan.backbone, plan.method, adam, 0);
  const session = await engine.openTraining(plan, state);
  await (await session.trainStep(tinyBatch(plan), { step: 0, learningRates })).metrics;
  const { moments } = await session.readState();
  await session.close();
  return new Map(Object.entries(moments).filter(([name]) => name.endsWith('.m')));
}

/**
 * Root mean square of each tensor's differences, over that of its values; of the widest tensor's thousandth where these
 * nearly cancel, as for bits that switch a whole filter in front of batch norm.
 */
function distances(
  found: Map<string, Float32Array>,
  expected: Map<string, Float32Array>,
): Map<string, number> {
  const size = (values: Float32Array) =>
    Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
  const floor = Math.max(...[...expected.values()].map(size)) / 1000;
  const entries = [...expected].map(([name, values]) => {
    const difference = size(values.map((value, i) => value - found.get(name)![i]));
    return [name, difference / Math.max(floor, size(values))] as const;
  });
  return new Map(entries);
}

/**
 * Asserts how far shares of the tensors may be, `{ 0.5: …, 1: … }`; and the stem and the projections, which stand for
 * themselves among so many. A projection whose bits switch whole filters is left out: nothing but rounding is left there.
 */
function assertWithin(
  found: Map<string, number>,
  bounds: Readonly<Record<number, number>>,
  ends: number,
): void {
  assert.ok(found.size > 50);
  for (const [name, distance] of found) assert.ok(Number.isFinite(distance), `${name} is ${distance}`);
  const sorted = [...found].sort(([, a], [, b]) => a - b);
  for (const [share, bound] of Object.entries(bounds)) {
    const [name, distance] = sorted[Math.floor(Number(share) * (sorted.length - 1))];
    assert.ok(distance < bound, `${100 * Number(share)} % are within ${distance}: ${name}`);
  }
  const named = [...found].filter(
    ([name]) => /^conv1\.|downsample\.0\./.test(name) && !name.startsWith('layer1.'),
  );
  assert.equal(named.length, 4);
  for (const [name, distance] of named) assert.ok(distance < ends, `${name}: ${distance}`);
}

describe('wide networks', { skip }, () => {
  // With four values a channel in its last layers ResNet-50 amplifies rounding: two builds of the same kernels differ by
  // 0.4 %. It has up to 2,048 channels.
  for (const [network, method, tolerance, most, ends] of [
    ['resnet18', 'xbm', 1e-4, 0.01, 2e-3],
    ['resnet18', 'finetune', 1e-4, 0.01, 2e-3],
    ['resnet50', 'xbm', 0.1, 0.5, 0.1],
  ] as const) {
    test(`${network}, ${method}, full precision: gradients of the onnx engine`, async () => {
      const plan = planOf(network, method, 32);
      const found = distances(
        await momentsOf(native({ precision: float32 }), plan),
        await momentsOf(createOnnxEngine({ threads: 2 }), plan),
      );
      assertWithin(found, { 0.9: tolerance, 1: most }, ends);
    });
  }

  const { forward, backward } = installed ? bestPrecision(installed.addon) : float32;
  // 8 bits of each gradient, or 15 of the largest of its pixel.
  const bounds = {
    bfloat16: { half: 0.02, most: 0.05, ends: 0.03 },
    fixed16: { half: 5e-4, most: 1e-3, ends: 1e-3 },
    float32: { half: 1e-4, most: 1e-3, ends: 1e-3 },
  }[backward];
  for (const method of ['xbm', 'finetune', 'piggyback'] as const) {
    test(`resnet50, ${method}, 4 bits: ${forward} and ${backward} products against float32`, async () => {
      const plan = planOf('resnet50', method, 4);
      const found = distances(
        await momentsOf(native(), plan),
        await momentsOf(native({ precision: float32 }), plan),
      );
      // XBM's bits of 72 rows switch whole filters of the first stage, whose gradients cancel but for rounding.
      const all = method === 'xbm' ? 10 : bounds.most;
      assertWithin(found, { 0.5: bounds.half, 0.9: bounds.most, 1: all }, bounds.ends);
    });
  }
});
