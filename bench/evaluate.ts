/**
 * @file `npm run bench:evaluate -- RUN [SIZE] [IMAGES]`: a finished run's test images through the onnx engine's integer
 * and float32 graphs in turn: accuracies, predictions that differ and by how much, images per second.
 * SIZE: pixels, default what the task was trained with; IMAGES: the first so many, default all.
 */
import { join, resolve } from 'node:path';
import { foldIntoBackbone } from '../src/adaption/task.js';
import { readTaskFile } from '../src/adaption/taskFile.js';
import { loadExperiment } from '../src/config/load.js';
import { createOnnxEngine } from '../src/engines/onnx/index.js';
import { headOf } from '../src/model/graph.js';
import { requireBackbone } from '../src/runs/findBackbone.js';
import { openExperimentData, openSplit } from '../src/runs/openExperiment.js';

const [run, size, count] = process.argv.slice(2);
if (!run) throw new Error('usage: npm run bench:evaluate -- RUN [SIZE] [IMAGES]');
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
const engine = createOnnxEngine({ threads: experiment.threads });
// Asked for a tap, the engine computes real values.
const paths = [
  { name: 'integers', taps: [] as string[], milliseconds: 0, correct: 0 },
  { name: 'float32', taps: [headOf(network.graph).name], milliseconds: 0, correct: 0 },
];
const sessions = [];
for (const { taps } of paths) {
  sessions.push(await engine.openInference({ network, batchSize, imageSize, taps }));
}
const differing: number[] = [];
let [images, moved, largest] = [0, 0, 0];
for await (const batch of loader.epoch(0)) {
  const rows: Float32Array[] = [];
  for (const [i, path] of paths.entries()) {
    const start = performance.now();
    rows.push((await sessions[i].predict(batch)).logits);
    if (images > 0) path.milliseconds += performance.now() - start;
  }
  batch.labels.forEach((label, i) => {
    if (label < 0) return;
    const [integer, float] = rows.map((logits) => logits.subarray(i * classes, (i + 1) * classes));
    const predicted = [integer, float].map(indexOfLargest);
    paths.forEach((path, p) => {
      path.correct += Number(predicted[p] === label);
    });
    const scale = Math.max(...float.map(Math.abs));
    largest = Math.max(largest, scale);
    const difference = Math.max(...integer.map((value, c) => Math.abs(value - float[c])));
    moved += Number(difference > 1e-4 * scale);
    // How clear the float32 graph's decision was: its logits' distance.
    if (predicted[0] !== predicted[1]) differing.push(float[predicted[1]] - float[predicted[0]]);
    images++;
  });
}
await Promise.all([...sessions.map((session) => session.close()), loader.close()]);
console.log(
  `${images} images of ${imageSize} px, batch ${batchSize}; ${task.method.name} on ${experiment.task}`,
);
for (const { name, correct, milliseconds } of paths) {
  const rate = (1000 * (images - batchSize)) / milliseconds;
  const accuracy = ((100 * correct) / images).toFixed(2);
  console.log(`  ${name.padEnd(9)} ${accuracy} %, ${rate.toFixed(1)} images/s (the network alone)`);
}
console.log(`  ${moved} images have other logits: a value next to a step fell on its other side`);
const margin = Math.max(0, ...differing);
console.log(
  `  ${differing.length} predictions differ; there the two classes' logits were ${margin.toFixed(3)} apart at most (largest logit ${largest.toFixed(1)})`,
);

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
