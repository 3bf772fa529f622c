import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import type { MethodSpec } from '../../src/adaption/method.js';
import type { Batch } from '../../src/data/batch.js';
import { decodeImage } from '../../src/data/decode.js';
import { compareLogits, modelLogits } from '../../src/export/checkModel.js';
import { exportModel } from '../../src/export/exportModel.js';
import type { Backbone } from '../../src/model/backbone.js';
import { withClasses } from '../../src/model/graph.js';
import { loadBackbone } from '../../src/model/store.js';
import { packageRoot } from '../../src/paths.js';
import { relativeError } from '../engines/assertClose.js';
import { tinyMethod } from '../engines/fixtures.js';
import { oracle } from '../engines/oracle.js';
import { engineLogits, tinyTask, tinyTaskState } from './cases.js';

const imageSize = 32;
const classes = 20;
const quickstart = join(packageRoot(), 'assets', 'quickstart');

/** Every `step`-th test image of a set. */
async function testImages(set: string, step: number): Promise<Batch> {
  const root = join(quickstart, set, 'test');
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .filter((_, i) => i % step === 0);
  const pixels = new Uint8Array(files.length * imageSize ** 2 * 3);
  for (const [i, file] of files.entries()) {
    const decoded = await decodeImage(file, undefined, { kind: 'square', size: imageSize });
    pixels.set(decoded.pixels, i * imageSize ** 2 * 3);
  }
  return { pixels, labels: new Int32Array(files.length) };
}

describe('exported models on real images, with the pretrained quickstart backbone', () => {
  let backbone: Backbone;
  const batches = new Map<string, Batch>();

  before(async () => {
    ({ backbone } = await loadBackbone(join(quickstart, 'cifar-resnet20.safetensors')));
    for (const set of ['quickdraw', 'sketches']) batches.set(set, await testImages(set, 3));
  });

  for (const name of ['xbm', 'piggyback', 'finetune', 'classifier'] as const) {
    for (const precision of ['int8', 'float'] as const) {
      test(`${name}, ${precision}`, async () => {
        const method = tinyMethod(name, { rows: 72 });
        const task = tinyTask({ backbone, imageSize }, method, classes, 1);
        const { bytes } = exportModel({ backbone, tasks: [{ name, task, preparation: null }], precision });
        for (const [set, batch] of batches) {
          const images = batch.labels.length;
          const expected = await engineLogits(task, backbone, batch);
          const logits = await modelLogits(bytes, batch, imageSize);
          const total = compareLogits(logits, expected, images);
          const moved = movedImages(logits, expected);
          const text = `${set}: ${JSON.stringify(total)}, moved: ${moved}`;
          assert.ok(total.largestDifference < 8, text);
          assert.ok(moved.length < 0.25 * images && total.otherClass < 0.02 * images, text);
          const [first] = moved;
          if (first === undefined) continue;
          // It is rounding, nothing else: one of the two has float64's logits.
          const exact = exactLogits(backbone, method, batch, first);
          const errors = [logits, expected].map((all) =>
            relativeError(all.subarray(first * classes, (first + 1) * classes), exact),
          );
          assert.ok(Math.min(...errors) < 1e-5, `${text}; relative errors against float64: ${errors}`);
        }
      });
    }
  }
});

/** Images with a logit that differs by more than float32 rounding: a value fell on the other side of a step. */
function movedImages(logits: Float32Array, expected: Float32Array): number[] {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const images = new Set<number>();
  logits.forEach((value, i) => {
    if (Math.abs(value - expected[i]) > 1e-5 * largest) images.add(Math.floor(i / classes));
  });
  return [...images];
}

/** One image in float64, from the task's state itself. */
function exactLogits(backbone: Backbone, method: MethodSpec, batch: Batch, image: number): Float64Array {
  const bytes = imageSize ** 2 * 3;
  const pixels = batch.pixels.slice(image * bytes, (image + 1) * bytes);
  const { tensors } = tinyTaskState({ backbone, imageSize }, method, classes, 1);
  const graph = withClasses(backbone.graph, classes);
  const one = { pixels, labels: new Int32Array(1) };
  return oracle({ graph, backbone, method, imageSize, tensors, batch: one, training: null }).logits;
}
