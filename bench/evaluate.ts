/**
 * @file `npm run bench:evaluate -- RUN [SIZE] [IMAGES]`: a finished run's test images through the onnx engine's float32
 * graph, its integer graph, and the exported float32 graph, which rounds elsewhere: what two float32 graphs differ by is
 * the yardstick for the integers. Accuracies, predictions that differ and how clear they were, images per second.
 * SIZE: pixels, default what the task was trained with; IMAGES: the first so many, default all.
 */
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import ort from 'onnxruntime-node';
import { foldIntoBackbone } from '../src/adaption/task.js';
import { readTaskFile } from '../src/adaption/taskFile.js';
import { loadExperiment } from '../src/config/load.js';
import type { Batch } from '../src/data/batch.js';
import { createOnnxEngine } from '../src/engines/onnx/index.js';
import { exportModel } from '../src/export/exportModel.js';
import { argmax } from '../src/model/argmax.js';
import { headOf } from '../src/model/graph.js';
import { requireBackbone } from '../src/runs/findBackbone.js';
import { openExperimentData, openSplit } from '../src/runs/openExperiment.js';
import { benchArguments } from './arguments.js';

const [run, size, count] = benchArguments('npm run bench:evaluate -- RUN [SIZE] [IMAGES]', 3, 1);
const given = loadExperiment({ config: resolve(run, 'config.yaml') });
const task = await readTaskFile(join(run, 'task.safetensors'));
const imageSize = Number(size ?? task.imageSize);
const experiment = { ...given, training: { ...given.training, imageSize } };
const { batchSize } = experiment.training;
const backbone = await requireBackbone(experiment.backbone.weights, task.backboneSha256);
const network = foldIntoBackbone(task, backbone);
const classes = headOf(network.graph).outFeatures;
const dataSet = await openExperimentData(experiment, process.env);
const samples = dataSet.test.slice(0, count ? Number(count) : undefined);
const loader = await openSplit(experiment, dataSet, 'test', {}, samples);

interface Path {
  readonly name: string;
  logits(batch: Batch): Promise<Float32Array>;
  close(): Promise<void>;
}

// Asked for a tap, the engine computes real values.
const paths = [
  await enginePath('float32', [headOf(network.graph).name]),
  await enginePath('integers', []),
  await exportedPath(),
].map((path) => ({ ...path, milliseconds: 0, correct: 0, moved: 0, margins: [] as number[] }));
const [reference] = paths;
let images = 0;
let timed = 0;
for await (const batch of loader.epoch(0)) {
  let expected = new Float32Array();
  for (const path of paths) {
    const start = performance.now();
    const logits = await path.logits(batch);
    if (images > 0) path.milliseconds += performance.now() - start; // the first batch warms up
    if (path === reference) expected = logits.slice();
    batch.labels.forEach((label, i) => {
      if (label >= 0) compare(path, label, rowOf(logits, i), rowOf(expected, i));
    });
  }
  if (images > 0) timed += batchSize; // padding of the last batch is computed too
  images += batch.labels.filter((label) => label >= 0).length;
}
await Promise.all([...paths.map((path) => path.close()), loader.close()]);

console.log(
  `${images} images of ${imageSize} px, batch ${batchSize}; ${task.method.name} on ${experiment.task}`,
);
for (const { name, correct, milliseconds, moved, margins } of paths) {
  const speed =
    timed > 0 ? `, ${((1000 * timed) / milliseconds).toFixed(1)} images/s (the network alone)` : '';
  const accuracy = ((100 * correct) / images).toFixed(2);
  console.log(`${name.padEnd(18)} ${accuracy} %${speed}`);
  if (name === reference.name) continue;
  const widest = Math.max(0, ...margins);
  console.log(
    `  ${moved} images with other logits than ${reference.name}'s, ${margins.length} with another prediction; ` +
      `${reference.name} preferred its own by ${(100 * widest).toFixed(2)} % of its largest logit at most`,
  );
}

function compare(path: (typeof paths)[number], label: number, actual: Float32Array, expected: Float32Array) {
  const [predicted, before] = [argmax(actual), argmax(expected)];
  path.correct += Number(predicted === label);
  const scale = Math.max(...expected.map(Math.abs));
  // More than float32 rounding: a value next to a step fell on its other side.
  path.moved += Number(actual.some((value, c) => Math.abs(value - expected[c]) > 1e-4 * scale));
  if (predicted !== before) path.margins.push((expected[before] - expected[predicted]) / scale);
}

async function enginePath(name: string, taps: readonly string[]): Promise<Path> {
  const engine = createOnnxEngine({ threads: experiment.threads });
  const session = await engine.openInference({ network, batchSize, imageSize, taps });
  return {
    name,
    logits: async (batch) => (await session.predict(batch)).logits,
    close: () => session.close(),
  };
}

async function exportedPath(): Promise<Path> {
  const tasks = [{ name: experiment.task, task: { ...task, imageSize }, preparation: null }];
  const { bytes } = exportModel({ backbone, tasks, precision: 'float' });
  const session = await ort.InferenceSession.create(bytes, {
    intraOpNumThreads: experiment.threads || cpus().length,
  });
  return {
    name: 'exported, float32',
    logits: async ({ pixels, labels }) => {
      const dims = [labels.length, imageSize, imageSize, 3];
      return (await session.run({ pixels: new ort.Tensor('uint8', pixels, dims) })).logits
        .data as Float32Array;
    },
    close: () => session.release(),
  };
}

function rowOf(logits: Float32Array, image: number): Float32Array {
  return logits.subarray(image * classes, (image + 1) * classes);
}
