/**
 * @file Sessions without taps compute levels in integers. Where every value keeps clear of rounding boundaries all
 * levels are those of float64, so the logits differ by the rounding of float32 additions and of the head only.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { buildIntegerModel, imagesPerRun } from '../../../src/engines/onnx/frozen/integerModel.js';
import { createOnnxEngine } from '../../../src/engines/onnx/index.js';
import { layersOfKind } from '../../../src/model/graph.js';
import { buildNetwork } from '../../../src/model/networks.js';
import { assertClose } from '../assertClose.js';
import { type AgreementCase, separatedCase } from '../cases.js';
import {
  type CaseOptions,
  folded,
  type TinyNetwork,
  tinyBatch,
  tinyMethod,
  tinyPlan,
  tinyState,
} from '../fixtures.js';
import { inferenceAgrees } from '../inferenceAgreement.js';

const engine = createOnnxEngine({ threads: 2 });

describe('logits without taps against float64', () => {
  for (const network of ['bottleneck', 'basic'] as TinyNetwork[]) {
    for (let bits = 3; bits <= 8; bits++) {
      for (const activationBits of new Set([bits, 10 - bits])) {
        const weightBits = bits;
        const options: CaseOptions = { network, weightBits, activationBits, method: tinyMethod('xbm') };
        test(`${network}, ${weightBits}-bit weights, ${activationBits}-bit activations`, () =>
          inferenceAgrees(engine, separatedCase(options), { taps: false }));
      }
    }
  }
});

describe('channels with nothing to compute, and batch norms that turn signs', () => {
  for (const network of ['bottleneck', 'basic'] as TinyNetwork[]) {
    for (const [weightBits, activationBits] of [
      [2, 2],
      [4, 4],
      [2, 8],
      [8, 8],
    ]) {
      test(`${network}, ${weightBits}-bit weights, ${activationBits}-bit activations, one image`, () => {
        const options: CaseOptions = { network, weightBits, activationBits, batchSize: 1 };
        return inferenceAgrees(engine, awkward(separatedCase(options)), { taps: false });
      });
    }
  }

  /** Behind the stem, whose max pool would see ties: weight scales and gains of 0, filters masked off, negative gains. */
  function awkward(agreementCase: AgreementCase): AgreementCase {
    const { plan, state } = agreementCase;
    const [, ...others] = layersOfKind(plan.graph, 'conv');
    const convs = { ...plan.backbone.convs };
    const tensors = { ...state.tensors };
    for (const { name } of others) {
      const conv = convs[name];
      assert.ok(conv.kind === 'levels');
      const scales = conv.scales.map((scale, channel) => (channel % 5 === 0 ? 0 : scale));
      convs[name] = { ...conv, scales };
      const bits = tensors[`${name}.scores`].length / scales.length;
      tensors[`${name}.scores`] = tensors[`${name}.scores`].map((score, i) =>
        Math.floor(i / bits) % 5 === 1 ? -1 : score,
      );
    }
    for (const { name } of layersOfKind(plan.graph, 'batchNorm').slice(1)) {
      const change = (suffix: string, to: (value: number, channel: number) => number) => {
        tensors[`${name}.${suffix}`] = tensors[`${name}.${suffix}`].map(to);
      };
      change('weight', (gain, channel) => [gain, gain, 0, -gain][channel % 4]);
      change('running_var', (variance, channel) => (channel % 7 === 3 ? 0 : variance));
    }
    return {
      ...agreementCase,
      plan: { ...plan, backbone: { ...plan.backbone, convs } },
      state: { ...state, tensors },
    };
  }
});

describe('integer sessions', () => {
  const plan = tinyPlan();
  const network = folded(plan, tinyState(plan));

  test('any number of threads gives the same bits', async () => {
    const logits = await Promise.all(
      [1, 2, 3].map((threads) => predict({ network, batchSize: 6, imageSize: 67 }, threads)),
    );
    assert.deepEqual(logits[1], logits[0]);
    assert.deepEqual(logits[2], logits[0]);
  });

  test('a batch that is run in parts gives every image its logits', async () => {
    const whole = { network, batchSize: 5, imageSize: 512 };
    const images = imagesPerRun(whole);
    assert.ok(images > 1 && images < whole.batchSize && whole.batchSize % images !== 0, `${images} at once`);
    const logits = await predict(whole, 2);
    const { pixels } = tinyBatch(whole);
    const bytes = pixels.length / whole.batchSize;
    const single = await engine.openInference({ ...whole, batchSize: 1 });
    try {
      for (let i = 0; i < whole.batchSize; i++) {
        const one = { pixels: pixels.slice(i * bytes, (i + 1) * bytes), labels: new Int32Array(1) };
        const classes = logits.length / whole.batchSize;
        const actual = logits.subarray(i * classes, (i + 1) * classes);
        // Means over thousands of pixels differ by their order of summation; another image's by far more.
        assertClose(actual, (await single.predict(one)).logits, 1e-4, `image ${i}`);
      }
    } finally {
      await single.close();
    }
  });

  test('runs of ResNet-50 keep their largest tensor in the cache', () => {
    const graph = buildNetwork('resnet50', 5);
    const at = (batchSize: number, imageSize: number) =>
      imagesPerRun({ network: { ...network, graph }, batchSize, imageSize });
    assert.equal(at(32, 64), 32);
    assert.equal(at(32, 224), 4);
    assert.equal(at(3, 224), 3);
  });

  test('4-bit sums are requantised in integers, 8-bit sums in float32', () => {
    const requantizations = (bits: number) => {
      const wide = tinyPlan({ weightBits: bits, activationBits: bits });
      return buildIntegerModel({ network: folded(wide, tinyState(wide)), imageSize: 15 }).requantizations;
    };
    assert.equal(requantizations(4).float, 0);
    assert.ok(requantizations(4).integer > 0);
    assert.ok(requantizations(8).float > 0);
  });

  async function predict(sizes: Parameters<typeof engine.openInference>[0], threads: number) {
    const session = await createOnnxEngine({ threads }).openInference(sizes);
    try {
      return (await session.predict(tinyBatch(sizes))).logits;
    } finally {
      await session.close();
    }
  }
});
