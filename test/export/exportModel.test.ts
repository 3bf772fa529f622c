import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MethodSpec } from '../../src/adaption/method.js';
import { modelLogits } from '../../src/export/checkModel.js';
import { exportModel } from '../../src/export/exportModel.js';
import { assertClose } from '../engines/assertClose.js';
import { type BackboneOptions, type TinyNetwork, tinyBatch, tinyMethod } from '../engines/fixtures.js';
import { engineLogits, tinyBackbone, tinyTask } from './cases.js';

/** float32 rounding: the random networks here have no value near a step. */
const tolerance = 2e-5;

/** From 8 bits on an int32 bias is too coarse to be exact: sums near a step may land on the neighbouring level. */
const int8Tolerance = (activationBits: number) => (activationBits > 4 ? 3e-3 : tolerance);

const methods: Record<string, MethodSpec> = {
  xbm: tinyMethod('xbm'),
  'xbm, kernels': tinyMethod('xbm', { granularity: 'kernel' }),
  'xbm, channels': tinyMethod('xbm', { granularity: 'channel' }),
  piggyback: tinyMethod('piggyback'),
  finetune: tinyMethod('finetune'),
  classifier: tinyMethod('classifier'),
};
const widths: BackboneOptions[] = [
  { weightBits: 4, activationBits: 4 },
  { weightBits: 2, activationBits: 2 },
  { weightBits: 4, activationBits: 8 },
  { weightBits: 8, activationBits: 8 },
];

describe('one task as an ONNX model computes the engine’s logits', () => {
  for (const network of ['bottleneck', 'basic'] as TinyNetwork[]) {
    for (const [name, method] of Object.entries(methods)) {
      test(`${name}, ${network}, 4 bits, int8 and float`, () =>
        agrees(network, method, {}, ['int8', 'float']));
    }
    for (const width of widths.slice(1)) {
      const bits = `${width.weightBits}-bit weights, ${width.activationBits}-bit activations`;
      test(`${bits}, ${network}, int8 and float`, () =>
        agrees(network, methods.xbm, width, ['int8', 'float']));
    }
    test(`full precision, ${network}, float`, () =>
      agrees(network, methods.finetune, { weightBits: 32, activationBits: 32 }, ['float']));
  }
});

async function agrees(
  network: TinyNetwork,
  method: MethodSpec,
  options: BackboneOptions,
  precisions: ('int8' | 'float')[],
): Promise<void> {
  const tiny = tinyBackbone(network, options);
  const { backbone, imageSize } = tiny;
  const task = tinyTask(tiny, method, 5, 1);
  const batch = tinyBatch({ batchSize: 6, imageSize });
  const expected = await engineLogits(task, backbone, batch);
  for (const precision of precisions) {
    const { bytes, requantizations } = exportModel({
      backbone,
      tasks: [{ name: 'a', task, preparation: null }],
      precision,
    });
    const logits = await modelLogits(bytes, batch, imageSize);
    const { activationBits } = backbone;
    assertClose(
      logits,
      expected,
      precision === 'int8' ? int8Tolerance(activationBits) : tolerance,
      precision,
    );
    if (requantizations && activationBits <= 4) assert.equal(requantizations.float, 0);
  }
}

describe('several tasks in one model', () => {
  for (const network of ['bottleneck', 'basic'] as TinyNetwork[]) {
    for (const precision of ['int8', 'float'] as const) {
      for (const bits of [4, 8]) {
        test(`each gives its own logits: ${network}, ${bits} bits, ${precision}`, async () => {
          const tiny = tinyBackbone(network, { weightBits: bits, activationBits: bits });
          const { backbone, imageSize } = tiny;
          const methodsOfTasks = [methods.xbm, methods.xbm, methods.classifier];
          const tasks = methodsOfTasks.map((method, i) => tinyTask(tiny, method, 3 + i, i + 1));
          const named = tasks.map((task, i) => ({ name: `task ${i}`, task, preparation: null }));
          const { bytes } = exportModel({ backbone, tasks: named, precision });
          const batch = tinyBatch({ batchSize: 2, imageSize });
          for (const [i, task] of tasks.entries()) {
            const expected = await engineLogits(task, backbone, batch);
            const logits = await modelLogits(bytes, batch, imageSize, i);
            assertClose(
              logits,
              expected,
              precision === 'int8' ? int8Tolerance(bits) : tolerance,
              `task ${i}`,
            );
          }
        });
      }
    }
  }
});
