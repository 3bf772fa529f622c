import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { foldBackbone } from '../../src/adaption/fold.js';
import type { Batch } from '../../src/data/batch.js';
import type { Engine } from '../../src/engines/engine.js';
import { calibrationSource } from '../../src/engines/probe.js';
import { openEngine } from '../../src/engines/registry.js';
import { ActivationHistogram } from '../../src/model/activationHistogram.js';
import type { Backbone } from '../../src/model/backbone.js';
import { batchNormWaves, correctBatchNorms } from '../../src/model/batchNormCorrection.js';
import { calibrateBackbone } from '../../src/model/calibrate.js';
import { calibrateClips } from '../../src/model/calibrateClips.js';
import { layersOfKind } from '../../src/model/graph.js';
import { sealBackbone } from '../../src/model/hash.js';
import { buildNetwork } from '../../src/model/networks.js';
import { prefixOf, visitTaps } from '../../src/model/probe.js';
import { quantizeBackbone } from '../../src/model/quantize.js';
import { type CalibrationRequest, resolveBackbone } from '../../src/model/resolve.js';
import { readSafetensors, writeSafetensors } from '../../src/model/safetensors.js';
import { saveBackbone } from '../../src/model/store.js';
import { hash32 } from '../../src/random.js';
import { noise, randomBackbone } from './fixtures.js';

const imageSize = 16;
const batchSize = 8;
const float = randomBackbone(32, 32);
let engine: Engine;
let home: string;
before(async () => {
  ({ engine } = await openEngine('onnx', { threads: 2 }));
  home = await mkdtemp(join(tmpdir(), 'xbm-home-'));
  process.env.XBM_HOME = home;
});
after(async () => {
  delete process.env.XBM_HOME;
  await rm(home, { recursive: true });
});

/** Smooth pseudo-random images; `padding` rows at the end of the last batch. */
function images(seed: number, batches: number, padding = 0): Batch[] {
  return Array.from({ length: batches }, (_, batch) => {
    const pixels = new Uint8Array(batchSize * imageSize * imageSize * 3);
    pixels.forEach((_, i) => {
      pixels[i] =
        128 + 60 * Math.sin(i / (3 + (hash32(seed, batch, i >> 8) % 40))) + (hash32(seed, batch, i) % 60);
    });
    const labels = new Int32Array(batchSize);
    if (batch === batches - 1 && padding > 0) {
      labels.fill(-1, batchSize - padding);
      pixels.fill(0, pixels.length * (1 - padding / batchSize));
    }
    return { pixels, labels };
  });
}

function sourceOf(batches: Batch[]) {
  async function* iterate() {
    yield* batches;
  }
  return calibrationSource(engine, iterate, { batchSize, imageSize, description: 'test images' });
}

async function logitError(backbone: Backbone, batches: Batch[]): Promise<number> {
  const sessions = await Promise.all(
    [float, backbone].map((b) => engine.openInference({ network: foldBackbone(b), batchSize, imageSize })),
  );
  let error = 0;
  for (const batch of batches) {
    const [expected, actual] = await Promise.all(sessions.map((session) => session.predict(batch)));
    expected.logits.forEach((logit, i) => {
      error += (logit - actual.logits[i]) ** 2;
    });
  }
  await Promise.all(sessions.map((session) => session.close()));
  return error;
}

test('histogram percentiles and clips against sorting and brute force', () => {
  const parts = ['a', 'b', 'c'].map((name, i) => noise(name, 4000).map((x) => x ** 3 * (1 + 2 * i)));
  const histogram = new ActivationHistogram();
  for (const part of parts) histogram.add(part);
  const positive = parts
    .flatMap((part) => [...part])
    .filter((x) => x > 0)
    .sort((a, b) => a - b);
  assert.equal(histogram.total, positive.length);
  for (const percent of [10, 50, 90, 99.95]) {
    const expected = positive[Math.min(positive.length - 1, Math.floor((positive.length * percent) / 100))];
    assert.ok(Math.abs(histogram.percentile(percent) - expected) < 0.02, `${percent} %`);
  }
  const error = (clip: number) =>
    positive.reduce((sum, x) => sum + (x - (Math.round(Math.min(1, x / clip) * 15) * clip) / 15) ** 2, 0);
  const best = Math.min(...Array.from({ length: 500 }, (_, i) => error((5 * (i + 1)) / 500)));
  assert.ok(error(histogram.bestClip(4)) <= best * 1.03);
  assert.equal(new ActivationHistogram().bestClip(4), 0);
});

test('a prefix puts out what the whole network does', async () => {
  const taps = ['layer2.0.conv1', 'layer1.0.relu'];
  const batches = images(1, 1);
  const prefix = prefixOf(float, taps);
  assert.ok(prefix.graph.layers.length < float.graph.layers.length / 2 + 4);
  const whole = await sourceOf(batches).openProbe(float, taps);
  const part = await sourceOf(batches).openProbe(prefix, taps);
  const [a, b] = await Promise.all([whole.predict(batches[0]), part.predict(batches[0])]);
  for (const tap of taps) assert.deepEqual(a.taps[tap], b.taps[tap]);
  await Promise.all([whole.close(), part.close()]);
});

test('waves of ResNet-50: 49 steps, projections beside first convolutions', () => {
  const waves = batchNormWaves(buildNetwork('resnet50', 10));
  assert.equal(waves.length, 49);
  assert.equal(waves.flat().length, 53);
  assert.deepEqual(
    waves[1].map((layer) => layer.name),
    ['layer1.0.bn1', 'layer1.0.downsample.1'],
  );
});

test('correction: running statistics are those of the quantised network', async () => {
  const source = sourceOf(images(2, 3, 3));
  const quantized = quantizeBackbone(float, 4);
  const corrected = await correctBatchNorms(float, quantized, 'statistics', source);
  assert.notEqual(corrected.sha256, quantized.sha256);
  for (const norm of layersOfKind(float.graph, 'batchNorm')) {
    const [conv] = norm.inputs;
    const values: number[] = [];
    await visitTaps(source, [corrected], [conv], ([taps], count) => {
      const plane = taps[conv].length / count / norm.channels;
      for (let image = 0; image < count; image++)
        values.push(...taps[conv].subarray(image * norm.channels * plane).subarray(0, plane));
    });
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
    const near = (actual: number, expected: number) =>
      assert.ok(
        Math.abs(actual - expected) <= 1e-4 * (1 + Math.abs(expected)),
        `${norm.name} ${actual} ${expected}`,
      );
    near(corrected.batchNorms[`${norm.name}.running_mean`][0], mean);
    near(corrected.batchNorms[`${norm.name}.running_var`][0], variance);
    assert.deepEqual(corrected.batchNorms[`${norm.name}.weight`], float.batchNorms[`${norm.name}.weight`]);
  }
});

for (const rule of ['shift', 'regression'] as const) {
  test(`correction by ${rule} changes nothing where quantisation changed nothing`, async () => {
    const corrected = await correctBatchNorms(float, float, rule, sourceOf(images(3, 1)));
    for (const [name, values] of Object.entries(float.batchNorms))
      values.forEach((value, i) => {
        assert.ok(Math.abs(corrected.batchNorms[name][i] - value) <= 1e-5 * (1 + Math.abs(value)), name);
      });
  });
}

test('calibration brings the quantised network nearer to the float one, on other images', async () => {
  const source = sourceOf(images(4, 4, 2));
  const measured = images(5, 3);
  // A float network that fits its data, as a trained one does: its statistics are those of such images.
  const options = {
    weightBits: 3,
    activationBits: 4,
    weightScale: 'channel',
    rounding: 'nearest',
    clips: 'percentile',
  } as const;
  const plain = await calibrateBackbone(float, { ...options, batchNorm: 'keep' }, source);
  const plainError = await logitError(plain, measured);
  for (const batchNorm of ['shift', 'regression'] as const) {
    const corrected = await calibrateBackbone(float, { ...options, batchNorm }, source);
    const error = await logitError(corrected, measured);
    assert.ok(error < 0.9 * plainError, `${batchNorm}: ${error} is not below ${plainError}`);
  }
});

test('padding rows do not count, and dead layers get a clip', async () => {
  const [batch] = images(6, 1);
  const padded = { pixels: batch.pixels.slice(), labels: batch.labels.slice() };
  padded.labels.fill(-1, 5);
  const twin = { pixels: padded.pixels.slice(), labels: padded.labels };
  twin.pixels.fill(255, (twin.pixels.length / batchSize) * 5);
  const clips = await calibrateClips(float, 4, 'percentile', sourceOf([padded]));
  assert.deepEqual(await calibrateClips(float, 4, 'percentile', sourceOf([twin])), clips);
  const dead = sealBackbone({
    ...float,
    batchNorms: {
      ...float.batchNorms,
      'bn1.weight': new Float32Array(16),
      'bn1.bias': new Float32Array(16).fill(-1),
    },
  });
  assert.equal((await calibrateClips(dead, 4, 'mse', sourceOf([batch])))['relu.quant'], 1);
});

test('float weights become a stored backbone once', async () => {
  const path = join(home, 'my weights.safetensors');
  await saveBackbone(path, float, { sourceSha256: '', calibration: '' });
  const { tensors } = await readSafetensors(path);
  await writeSafetensors(path, tensors);
  let opened = 0;
  const calibration = (key: string): CalibrationRequest => ({
    key: async () => key,
    open: async () => {
      opened++;
      return { ...sourceOf(images(7, 2)), close: async () => {} };
    },
  });
  const request = {
    network: 'cifar-resnet8',
    weights: path,
    weightBits: 4,
    activationBits: 4,
    weightScale: 'channel',
  } as const;
  const first = await resolveBackbone(request, calibration('a'));
  assert.equal(opened, 1);
  assert.equal(first.backbone.weightBits, 4);
  assert.match(first.provenance.calibration, /clips.*test images/);
  const second = await resolveBackbone(request, calibration('a'));
  assert.equal(opened, 1);
  assert.deepEqual(second, first);
  await resolveBackbone({ ...request, activationBits: 8 }, calibration('a'));
  await resolveBackbone(request, calibration('b'));
  assert.equal(opened, 3);
  const full = await resolveBackbone({ ...request, weightBits: 32, activationBits: 32 }, calibration('a'));
  assert.equal(opened, 3);
  assert.equal(full.backbone.sha256, float.sha256);

  const stored = join(home, 'stored.safetensors');
  await saveBackbone(stored, first.backbone, first.provenance);
  assert.equal(
    (await resolveBackbone({ ...request, weights: stored }, calibration('x'))).backbone.sha256,
    first.backbone.sha256,
  );
  const refuse = (changes: object, message: RegExp) =>
    assert.rejects(resolveBackbone({ ...request, ...changes }, calibration('x')), message);
  await refuse({ weights: stored, weightBits: 8 }, /4-bit weights .* 8 and 4 were asked for/);
  await refuse({ weights: stored, network: 'resnet18' }, /a backbone of cifar-resnet8/);
  await refuse({ weights: join(home, 'none') }, /no such file/);
  await refuse({ weights: 'none' }, /no backbone named "none"/);
  await writeFile(join(home, 'text.safetensors'), 'hello world');
  await refuse({ weights: join(home, 'text.safetensors') }, /not a valid safetensors file/);
});
