import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { foldTask } from '../../src/adaption/fold.js';
import type { MethodSpec } from '../../src/adaption/method.js';
import { packBits } from '../../src/adaption/pack.js';
import { initialTaskState, type TaskState } from '../../src/adaption/parameters.js';
import { foldIntoBackbone, maskShares, type Task, taskFromState } from '../../src/adaption/task.js';
import { maskBytes, readTaskFile, writeTaskFile } from '../../src/adaption/taskFile.js';
import type { Backbone } from '../../src/model/backbone.js';
import { layersOfKind, withClasses } from '../../src/model/graph.js';
import { buildNetwork } from '../../src/model/networks.js';
import { readSafetensors, readSafetensorsMetadata } from '../../src/model/safetensors.js';
import { hashString, uniform } from '../../src/random.js';
import { methodSpec } from '../../src/training/plan.js';
import { temporaryFolder, tinyExperiment } from '../runs/fixtures.js';
import { assertOnlyUserErrors, fuzzRuns, mutate, withoutChecksum } from '../runs/mutations.js';
import { tinyBackbone } from '../training/doubles.js';

type Name = MethodSpec['name'];
const methods: readonly Name[] = ['xbm', 'piggyback', 'finetune', 'classifier'];

/** A state as if it had been trained: scores on both sides of the threshold, weights off the grid. */
function trainedState(backbone: Backbone, method: MethodSpec): TaskState {
  const graph = withClasses(backbone.graph, 3);
  const state = initialTaskState(graph, backbone, method, { kind: 'sgd', momentum: 0, weightDecay: 0 }, 1);
  for (const [name, values] of Object.entries(state.tensors)) {
    const key = hashString(name);
    for (let i = 0; i < values.length; i++) values[i] += 0.02 * (uniform(9, key, i) - 0.6);
  }
  return state;
}

function trainedTask(name: Name, backbone = tinyBackbone()): Task {
  const method = methodSpec(tinyExperiment(name));
  return taskFromState(trainedState(backbone, method), backbone, {
    method,
    classes: ['ä, "quoted"', 'green', ''],
    imageSize: 8,
    backboneSha256: backbone.sha256,
    configHash: 'abc',
    programVersion: '1.2.3',
  });
}

for (const name of methods) {
  test(`${name}: a task survives its file unchanged, and equal tasks give equal bytes`, async (t) => {
    const folder = temporaryFolder(t);
    const task = trainedTask(name);
    const [a, b] = [join(folder, 'a.safetensors'), join(folder, 'b.safetensors')];
    await writeTaskFile(a, task);
    const read = await readTaskFile(a, task.graph);
    assert.deepEqual(read, task);
    await writeTaskFile(b, read);
    assert.deepEqual(readFileSync(a), readFileSync(b));
  });

  test(`${name}: what a file folds to is what its state folds to`, async (t) => {
    const file = join(temporaryFolder(t), 'task.safetensors');
    const backbone = tinyBackbone();
    const task = trainedTask(name, backbone);
    const state = trainedState(backbone, task.method);
    await writeTaskFile(file, task);
    const folded = foldIntoBackbone(await readTaskFile(file, backbone.graph), backbone);
    const expected = foldTask(task.graph, backbone, task.method, task.masks, state.tensors);
    assert.deepEqual(folded.convs, expected.convs);
    for (const [tensor, values] of Object.entries(folded.tensors))
      assert.deepEqual(values, state.tensors[tensor], tensor);
  });
}

test('full-precision and 8-bit finetuned weights keep their values', async (t) => {
  for (const bits of [8, 32]) {
    const file = join(temporaryFolder(t), 'task.safetensors');
    const backbone = tinyBackbone(bits);
    const task = trainedTask('finetune', backbone);
    await writeTaskFile(file, task);
    assert.deepEqual((await readTaskFile(file, backbone.graph)).convs, task.convs);
  }
});

test('another backbone is refused, naming both', () => {
  const task = trainedTask('xbm');
  const other = tinyBackbone(4, 2);
  assert.throws(
    () => foldIntoBackbone(task, other),
    (error: Error) => error.message.includes(task.backboneSha256) && error.message.includes(other.sha256),
  );
});

test('the mask part of ResNet-50 is 42,496 bytes on disk', async (t) => {
  const file = join(temporaryFolder(t), 'task.safetensors');
  const method: MethodSpec = { ...trainedTask('xbm').method };
  const column = { ...method, mask: { ...method.mask!, rows: 72 } };
  const graph = buildNetwork('resnet50', 2);
  const masks = Object.fromEntries(
    layersOfKind(graph, 'conv').map((conv) => {
      const segments = Math.ceil((conv.inChannels * conv.kernel ** 2) / 72);
      return [conv.name, new Uint8Array(conv.outChannels * segments).fill(1)];
    }),
  );
  const tensors = Object.fromEntries(
    layersOfKind(graph, 'batchNorm').flatMap(({ name, channels }) =>
      ['weight', 'bias', 'running_mean', 'running_var'].map((part) => [
        `${name}.${part}`,
        new Float32Array(channels),
      ]),
    ),
  );
  const head = { 'fc.weight': new Float32Array(2 * 2048), 'fc.bias': new Float32Array(2) };
  const origin = {
    classes: ['a', 'b'],
    imageSize: 224,
    backboneSha256: '0'.repeat(64),
    configHash: '',
    programVersion: '',
  };
  const task: Task = { ...origin, method: column, graph, masks, convs: {}, tensors: { ...tensors, ...head } };
  await writeTaskFile(file, task);
  assert.equal(maskBytes(task), 42_496);
  const stored = await readSafetensors(file);
  const bytes = [...stored.tensors]
    .filter(([name]) => name.endsWith('.mask'))
    .map(([, { data }]) => data.length);
  assert.equal(bytes.length, 53);
  assert.equal(
    bytes.reduce((a, b) => a + b),
    42_496,
  );
  const read = await readTaskFile(file);
  assert.deepEqual(maskShares(read).total, { bits: 339_968, off: 0, shareOff: 0 });
});

test('shares off are counted per layer and over all bits', () => {
  const task = trainedTask('xbm');
  const off = (bits: Uint8Array) => bits.filter((bit) => bit === 0).length;
  const { layers, total } = maskShares(task);
  assert.deepEqual(
    layers.map(({ name, off: count }) => [name, count]),
    layersOfKind(task.graph, 'conv').map(({ name }) => [name, off(task.masks[name])]),
  );
  assert.equal(
    total.off,
    layers.reduce((sum, layer) => sum + layer.off, 0),
  );
  assert.ok(total.shareOff > 0 && total.shareOff < 100);
  assert.equal(total.shareOff, (100 * total.off) / total.bits);
});

test('metadata say what the task is', async (t) => {
  const file = join(temporaryFolder(t), 'task.safetensors');
  const task = trainedTask('xbm');
  await writeTaskFile(file, task);
  const metadata = await readSafetensorsMetadata(file);
  assert.equal(metadata.backboneSha256, task.backboneSha256);
  assert.equal(metadata.network, 'tiny');
  const method = JSON.parse(metadata.method);
  assert.deepEqual([method.name, method.mask.granularity, method.mask.rows], ['xbm', 'column', 9]);
});

test('a float-weights or backbone file is no task', async (t) => {
  const file = join(temporaryFolder(t), 'x.safetensors');
  const { writeSafetensors } = await import('../../src/model/safetensors.js');
  await writeSafetensors(file, {}, { format: 'xbm-backbone-1' });
  await assert.rejects(readTaskFile(file), /is no task file/);
});

test('a flipped mask bit, or an image size with another digit, is no valid task', async (t) => {
  const file = join(temporaryFolder(t), 'task.safetensors');
  const task = trainedTask('xbm');
  await writeTaskFile(file, task);
  const intact = readFileSync(file);
  const mask = task.masks.conv1;
  const edits = [
    intact.length - 1,
    intact.indexOf('"imageSize":"8"') + '"imageSize":"'.length,
    intact.lastIndexOf(packBits(mask)),
  ];
  for (const at of edits) {
    const damaged = Buffer.from(intact);
    damaged[at] ^= 1;
    writeFileSync(file, damaged);
    await assert.rejects(readTaskFile(file, task.graph), /task.safetensors: damaged or edited/);
    writeFileSync(file, withoutChecksum(damaged));
    await readTaskFile(file, task.graph);
  }
});

test('damaged task files end in user errors or in a valid task', async (t) => {
  const folder = temporaryFolder(t);
  for (const name of methods) {
    const file = join(folder, `${name}.safetensors`);
    const task = trainedTask(name);
    await writeTaskFile(file, task);
    const intact = withoutChecksum(readFileSync(file));
    const damaged = join(folder, 'damaged.safetensors');
    await fc.assert(
      fc.asyncProperty(mutate(intact), async (bytes) => {
        writeFileSync(damaged, bytes);
        await assertOnlyUserErrors(async () => {
          const read = await readTaskFile(damaged, task.graph);
          for (const bits of Object.values(read.masks))
            assert.ok(bits.every((bit) => bit === 0 || bit === 1));
        });
      }),
      { numRuns: fuzzRuns() / methods.length },
    );
  }
});
