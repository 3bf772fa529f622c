/** @file Run folders as training leaves them, with random masks and levels on a small real network. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { maskShape, weightCount } from '../../src/adaption/geometry.js';
import type { MethodName } from '../../src/adaption/method.js';
import { taskTensors } from '../../src/adaption/parameters.js';
import type { Task } from '../../src/adaption/task.js';
import { writeTaskFile } from '../../src/adaption/taskFile.js';
import { experimentToYaml } from '../../src/config/print.js';
import { resolveMethod } from '../../src/config/resolve.js';
import { experimentSchema } from '../../src/config/schema.js';
import { type Backbone, type ConvWeights, IMAGENET_NORMALIZATION } from '../../src/model/backbone.js';
import { headOf, layersOfKind, withClasses } from '../../src/model/graph.js';
import { sealBackbone } from '../../src/model/hash.js';
import { buildNetwork } from '../../src/model/networks.js';
import { saveBackbone } from '../../src/model/store.js';
import { hashString, uniform } from '../../src/random.js';
import type { RunSummary } from '../../src/runs/summary.js';
import { methodSpec } from '../../src/training/plan.js';

export const NETWORK = 'cifar-resnet8';

/** A backbone of random 4-bit levels. */
export function randomBackbone(seed = 1): Backbone {
  const graph = buildNetwork(NETWORK, 10);
  const { inFeatures, outFeatures } = headOf(graph);
  const batchNorms = layersOfKind(graph, 'batchNorm').flatMap(({ name, channels }) =>
    ['weight', 'bias', 'running_mean', 'running_var'].map((suffix): [string, Float32Array] => [
      `${name}.${suffix}`,
      new Float32Array(channels).fill(1),
    ]),
  );
  return sealBackbone({
    graph,
    convs: randomConvs(seed),
    batchNorms: Object.fromEntries(batchNorms),
    clips: Object.fromEntries(layersOfKind(graph, 'quantize').map(({ name }) => [name, 1])),
    weightBits: 4,
    activationBits: 4,
    head: { weight: new Float32Array(inFeatures * outFeatures), bias: new Float32Array(outFeatures) },
    classes: [],
    normalization: IMAGENET_NORMALIZATION,
  });
}

function randomConvs(seed: number): Record<string, ConvWeights> {
  return Object.fromEntries(
    layersOfKind(buildNetwork(NETWORK, 10), 'conv').map((conv) => {
      const key = hashString(conv.name);
      const levels = Int8Array.from(
        { length: weightCount(conv) },
        (_, i) => Math.floor(uniform(seed, key, i) * 15) - 7,
      );
      const scales = new Float32Array(conv.outChannels).fill(0.05);
      return [conv.name, { kind: 'levels' as const, levels, scales, bits: 4 }];
    }),
  );
}

export interface RunShape {
  readonly task: 'flowers' | 'cubs' | 'folder';
  readonly method: MethodName;
  readonly accuracy: number;
  /** Of the mask bits, 0 … 1. */
  readonly shareOff?: number;
  readonly rows?: number;
  readonly imageSize?: number;
  readonly seed?: number;
}

/** Writes one finished run below `<cwd>/results/runs` and returns its folder. */
export async function writeRun(cwd: string, backbone: Backbone, shape: RunShape): Promise<string> {
  const { task: taskName, method, accuracy, shareOff = 0.3, rows = 72, imageSize = 32, seed = 0 } = shape;
  const weights = join(cwd, 'backbone.safetensors');
  await saveBackbone(weights, backbone, { sourceSha256: '', calibration: 'random levels' });
  const experiment = resolveMethod(
    experimentSchema.parse({
      task: taskName,
      backbone: { network: NETWORK, weights },
      method: { name: method, rows },
      training: { imageSize, seed },
    }),
  );
  const spec = methodSpec(experiment);
  const classes = Array.from({ length: 7 }, (_, i) => `class ${i}`);
  const graph = withClasses(backbone.graph, classes.length);
  const masks: Record<string, Uint8Array> = {};
  for (const conv of spec.mask ? layersOfKind(graph, 'conv') : []) {
    const [outChannels, bits] = maskShape(conv, spec.mask!);
    const key = hashString(`${taskName}.${method}.${conv.name}`);
    masks[conv.name] = Uint8Array.from({ length: outChannels * bits }, (_, i) =>
      Number(uniform(seed, key, i) >= shareOff),
    );
  }
  const task: Task = {
    method: spec,
    classes,
    imageSize,
    backboneSha256: backbone.sha256,
    configHash: 'test',
    programVersion: '0',
    graph,
    masks,
    convs: spec.trainWeights ? randomConvs(hashString(taskName)) : {},
    tensors: Object.fromEntries(
      taskTensors(graph, spec).flatMap(({ name, shape: dims, group }) =>
        group === 'batchNorm' || group === 'head'
          ? [[name, new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(1)]]
          : [],
      ),
    ),
  };
  const bits = Object.values(masks).flatMap((mask) => [...mask]);
  const summary: RunSummary = {
    task: taskName,
    name: null,
    method,
    granularity: spec.mask?.granularity ?? null,
    rows: spec.mask?.granularity === 'column' ? rows : null,
    network: NETWORK,
    weightBits: 4,
    activationBits: 4,
    backboneSha256: backbone.sha256,
    accuracy,
    loss: 1,
    bestValidation: null,
    shareOff: bits.length > 0 ? (100 * bits.filter((bit) => bit === 0).length) / bits.length : 0,
    maskBits: bits.length,
    maskBytes: Math.ceil(bits.length / 8),
    taskBytes: 1,
    classes: classes.length,
    trainImages: 100,
    validationImages: 0,
    testImages: 50,
    imageSize,
    batchSize: 32,
    epochs: 1,
    steps: 1,
    seed,
    engine: 'onnx',
    configHash: 'test',
    programVersion: '0',
  };
  const folder = join(cwd, 'results', 'runs', `${taskName}-${method}-${rows}-${imageSize}-s${seed}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.yaml'), experimentToYaml(experiment));
  await writeTaskFile(join(folder, 'task.safetensors'), task);
  writeFileSync(join(folder, 'summary.json'), JSON.stringify(summary));
  return folder;
}
