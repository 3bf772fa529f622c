/**
 * @file `npm run bench:export [batch size]`: ResNet-50 at 224 px, images per second of the engine's evaluation, in integers
 * and in float32, and of exported models in plain ONNX Runtime, side by side: rounds take turns, medians are printed.
 * About half a minute on 2 cores.
 */
import { cpus } from 'node:os';
import ort from 'onnxruntime-node';
import { initialTaskState } from '../src/adaption/parameters.js';
import { foldIntoBackbone, type Task, taskFromState } from '../src/adaption/task.js';
import { createOnnxEngine } from '../src/engines/onnx/index.js';
import { exportModel } from '../src/export/exportModel.js';
import { headOf, layersOfKind, withClasses } from '../src/model/graph.js';
import { sealBackbone } from '../src/model/hash.js';
import { buildNetwork } from '../src/model/networks.js';
import { quantizeBackbone } from '../src/model/quantize.js';
import { hash32 } from '../src/random.js';
import { randomBackbone } from '../src/training/randomBackbone.js';
import { benchArguments } from './arguments.js';

const batchSize = Number(benchArguments('npm run bench:export -- [BATCH SIZE]', 1)[0] ?? 8);
const rounds = 9;
const imageSize = 224;
const graph = buildNetwork('resnet50', 1000);
const clips = Object.fromEntries(layersOfKind(graph, 'quantize').map(({ name }) => [name, 3]));
const backbone = sealBackbone({
  ...quantizeBackbone(randomBackbone(graph, 1), 4),
  clips,
  activationBits: 4,
});
const method = {
  name: 'xbm',
  mask: {
    granularity: 'column',
    rows: 72,
    binarizer: 'sigmoid',
    threshold: 0.005,
    slope: 12,
    noise: false,
    initialScore: 0.01,
  },
  trainWeights: false,
  trainBatchNorm: true,
} as const;

/** A task with two thirds of its bits on. */
function randomTask(seed: number, classes: number): Task {
  const state = initialTaskState(
    withClasses(graph, classes),
    backbone,
    method,
    { kind: 'sgd', momentum: 0, weightDecay: 0 },
    seed,
  );
  for (const [name, values] of Object.entries(state.tensors))
    if (name.endsWith('.scores'))
      state.tensors[name] = values.map((_, i) => (hash32(seed, i) % 3 ? 0.01 : 0));
  const origin = { backboneSha256: backbone.sha256, configHash: '', programVersion: '', imageSize, method };
  return taskFromState(state, backbone, { ...origin, classes: Array.from({ length: classes }, String) });
}

const tasks = [randomTask(1, 102), randomTask(2, 200)].map((task, i) => ({
  name: `task ${i}`,
  task,
  preparation: null,
}));
const pixels = Uint8Array.from({ length: batchSize * imageSize ** 2 * 3 }, (_, i) => hash32(i) & 255);
const threads = cpus().length;

async function exported(name: string, count: number, precision: 'int8' | 'float') {
  const { bytes } = exportModel({ backbone, tasks: tasks.slice(0, count), precision });
  const session = await ort.InferenceSession.create(bytes, { intraOpNumThreads: threads });
  const feeds: Record<string, ort.Tensor> = {
    pixels: new ort.Tensor('uint8', pixels, [batchSize, imageSize, imageSize, 3]),
  };
  if (count > 1) feeds.task = new ort.Tensor('int64', BigInt64Array.of(0n), []);
  return {
    name: `${name}, ${(bytes.length / 1e6).toFixed(1)} MB`,
    run: async () => (await session.run(feeds)).logits.data as Float32Array,
    close: () => session.release(),
    times: [] as number[],
  };
}

/** @param taps any makes the engine compute in float32 */
async function engineInference(name: string, taps: readonly string[]) {
  const session = await createOnnxEngine({ threads }).openInference({
    network: foldIntoBackbone(tasks[0].task, backbone),
    batchSize,
    imageSize,
    taps,
  });
  const batch = { pixels, labels: new Int32Array(batchSize) };
  return {
    name,
    run: async () => (await session.predict(batch)).logits,
    close: () => session.close(),
    times: [] as number[],
  };
}

const candidates = [
  await engineInference('onnx engine, float32 (a tap on the head)', [headOf(graph).name]),
  await engineInference('onnx engine, integers', []),
  await exported('exported, float', 1, 'float'),
  await exported('exported, int8', 1, 'int8'),
  await exported('exported, int8, two tasks', 2, 'int8'),
];
const reference = await candidates[0].run();
for (const { name, run } of candidates) {
  const logits = await run();
  const largest = reference.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const difference = logits.reduce((most, value, i) => Math.max(most, Math.abs(value - reference[i])), 0);
  console.error(`${name}: largest difference of logits ${((100 * difference) / largest).toFixed(3)} %`);
}
for (let round = 0; round < rounds; round++) {
  for (const candidate of candidates) {
    // Once untimed: the candidate before leaves its tensors in the cache and its threads spinning.
    await candidate.run();
    const start = performance.now();
    await candidate.run();
    candidate.times.push(performance.now() - start);
  }
}
const median = (times: number[]) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
console.log(`ResNet-50, ${imageSize} px, batch ${batchSize}, ${threads} threads, medians of ${rounds}:`);
const base = median(candidates[0].times);
for (const { name, times, close } of candidates) {
  const rate = (1000 * batchSize) / median(times);
  console.log(`${rate.toFixed(1).padStart(7)} images/s  ${(base / median(times)).toFixed(2)}×  ${name}`);
  await close();
}
