/**
 * @file Networks wider than those of the agreement tests: channels beyond one block of element-wise layers, several panels
 * and pieces. In full precision against the onnx engine, which no level can flip; then products in int8 and bfloat16
 * against the same step in float32, whose levels they share exactly.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MethodName } from '../../../src/adaption/method.js';
import { initialTaskState } from '../../../src/adaption/parameters.js';
import type { Engine, TrainingPlan } from '../../../src/engines/engine.js';
import { createNativeEngine } from '../../../src/engines/native/index.js';
import { createOnnxEngine } from '../../../src/engines/onnx/index.js';
import { withClasses } from '../../../src/model/graph.js';
import { buildNetwork } from '../../../src/model/networks.js';
import { adam, learningRates, randomBackbone, tinyBatch, tinyMethod } from '../fixtures.js';
import { float32, installedAddon } from './variants.js';

const installed = installedAddon();
const skip = installed ? false : 'the native kernels are not built: npm run setup:native';
const native = (precision = {}) =>
  createNativeEngine(installed!.addon, installed!.facts, { threads: 2, ...precision });

function planOf(network: 'resnet18' | 'resnet50', method: MethodName, bits: 4 | 32): TrainingPlan {
  const backbone = randomBackbone(buildNetwork(network, 33), { weightBits: bits, activationBits: bits });
  const graph = withClasses(backbone.graph, 33);
  const spec = tinyMethod(method, method === 'xbm' ? { rows: 72 } : {});
  return { graph, backbone, method: spec, optimizer: adam, batchSize: 4, imageSize: 64, seed: 0 };
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
function distances(found: Map<string, Float32Array>, expected: Map<string, Float32Array>): number[] {
  const size = (values: Float32Array) =>
    Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
  const floor = Math.max(...[...expected.values()].map(size)) / 1000;
  return [...expected].map(([name, values]) => {
    const difference = size(values.map((value, i) => value - found.get(name)![i]));
    return difference / Math.max(floor, size(values));
  });
}

const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))];

describe('wide networks', { skip }, () => {
  // With four values a channel in its last layers ResNet-50 amplifies rounding: two builds of the same kernels differ by
  // 0.4 %. It has up to 2,048 channels.
  for (const [network, method, tolerance] of [
    ['resnet18', 'xbm', 1e-4],
    ['resnet18', 'finetune', 1e-4],
    ['resnet50', 'xbm', 0.1],
  ] as const) {
    test(`${network}, ${method}, full precision: gradients of the onnx engine`, async () => {
      const plan = planOf(network, method, 32);
      const found = distances(
        await momentsOf(native({ precision: float32 }), plan),
        await momentsOf(createOnnxEngine({ threads: 2 }), plan),
      );
      assert.ok(found.length > 50);
      assert.ok(quantile(found, 0.9) < tolerance, `90 % within ${quantile(found, 0.9)}`);
    });
  }

  for (const method of ['xbm', 'finetune', 'piggyback'] as const) {
    test(`resnet50, ${method}, 4 bits: int8 and bfloat16 products against float32`, async () => {
      const plan = planOf('resnet50', method, 4);
      const found = distances(
        await momentsOf(native(), plan),
        await momentsOf(native({ precision: float32 }), plan),
      );
      assert.ok(quantile(found, 0.5) < 0.02, `median ${quantile(found, 0.5)}`);
      assert.ok(quantile(found, 0.9) < 0.05, `90 % within ${quantile(found, 0.9)}`);
    });
  }
});
