/** @file An experiment with invented results on a real network, priced by the real cost model. */
import { maskShape } from '../../../src/adaption/geometry.js';
import type { Granularity, MethodName } from '../../../src/adaption/method.js';
import { loadHardware } from '../../../src/hardware/load.js';
import { crossbarNetwork } from '../../../src/hardware/network.js';
import { publishedTasks } from '../../../src/hardware/published.js';
import { layersOfKind } from '../../../src/model/graph.js';
import { buildNetwork } from '../../../src/model/networks.js';
import { hashString, uniform } from '../../../src/random.js';
import { chipId, chipsOf } from '../../../src/report/experiment/chips.js';
import { maskPicturesOf } from '../../../src/report/experiment/maskPictures.js';
import type { CurvePoint, ExperimentReport, ExperimentRun } from '../../../src/report/experiment/types.js';
import { hardwareReport } from '../../../src/report/hardwareReport.js';
import type { TaskResult } from '../../../src/report/results.js';
import type { RunSummary } from '../../../src/runs/summary.js';

export interface SyntheticShape {
  readonly network?: 'resnet50' | 'cifar-resnet8';
  readonly tasks?: readonly string[];
  readonly methods?: readonly MethodName[];
  readonly seeds?: readonly number[];
  /** Adds Piggyback in full precision. */
  readonly fullPrecision?: boolean;
  readonly pictures?: boolean;
}

/** cubs and flowers are like the published experiment on ResNet-50, sketches has fewer classes. */
export async function syntheticReport(shape: SyntheticShape = {}): Promise<ExperimentReport> {
  const { network = 'cifar-resnet8', tasks = ['sketches', 'flowers', 'cubs'], seeds = [1, 0] } = shape;
  const methods = shape.methods ?? (['xbm', 'classifier', 'piggyback', 'finetune'] as const);
  const runs: ExperimentRun[] = [];
  const reports: Parameters<typeof chipsOf>[0][number][] = [];
  for (const seed of seeds) {
    const own = tasks.flatMap((task) => methods.map((method) => unpriced(network, task, method, seed, 4)));
    const report = hardwareReport(
      crossbarNetwork(buildNetwork(network, 10), imageSizeOf(network)),
      loadHardware('nn-imc'),
      { source: 'invented runs', results: own.map(taskResult), assumptions: ['All results are invented.'] },
    );
    reports.push({ report, seed, variant: null, costs: new Map(own.map((run) => [run.folder, run])) });
    for (const run of own) {
      const costs = report.tasks[run.task].methods[run.summary.method]!;
      const maskPictures =
        shape.pictures && run.summary.method === 'xbm' && seed === seeds.at(-1)
          ? await pictures(network, run.task)
          : [];
      runs.push({ ...run, maskPictures, costs: [{ chip: chipId(report), ...costs }] });
    }
    if (shape.fullPrecision) {
      runs.push(...tasks.map((task) => unpriced(network, task, 'piggyback', seed, 32)));
    }
  }
  return {
    name: 'paper',
    description: 'Five tasks, three methods.',
    command: 'xbm reproduce configs/reproduce/paper.yaml',
    configText: 'tasks: [cubs, flowers]\nmethods: [xbm]\n',
    programVersion: '0.1.0',
    runs,
    missing: [],
    chips: chipsOf(reports),
    notes: [],
  };
}

function imageSizeOf(network: string): number {
  return network === 'resnet50' ? 224 : 32;
}

function unpriced(
  network: string,
  task: string,
  method: MethodName,
  seed: number,
  bits: number,
): ExperimentRun {
  const granularity =
    ({ xbm: 'column', piggyback: 'element' } as Record<string, Granularity>)[method] ?? null;
  const published = publishedTasks.find(({ name }) => name === task) ?? publishedTasks[2];
  const key = hashString(`${task} ${method} ${bits}`);
  const base = method === 'classifier' ? 0 : published.shareOff[method === 'xbm' ? 'xbm' : 'piggyback'];
  const layers = granularity === null ? [] : shares(network, granularity, base, seed, key);
  const maskBits = layers.reduce((sum, layer) => sum + layer.bits, 0);
  const off = layers.reduce((sum, layer) => sum + layer.off, 0);
  const shareOff = maskBits > 0 ? (100 * off) / maskBits : 0;
  const reference = method === 'classifier' ? published.accuracy.xbm - 20 : published.accuracy[method];
  const accuracy = reference + (bits === 32 ? 3 : 0) + 2 * uniform(key, seed) - 1;
  const small = task === 'sketches';
  const epochs = 30;
  const name = `${task}-${method}-${bits === 32 ? 'ffff' : 'abcd'}0123-s${seed}`;
  const summary: RunSummary = {
    task,
    name: null,
    method,
    granularity,
    rows: granularity === 'column' ? 72 : null,
    network,
    weightBits: bits,
    activationBits: bits,
    backboneSha256: bits === 32 ? 'f'.repeat(64) : 'b'.repeat(64),
    accuracy,
    loss: 1,
    bestValidation: null,
    shareOff,
    maskBits,
    maskBytes: Math.ceil(maskBits / 8),
    taskBytes: 1_300_000 + Math.ceil(maskBits / 8),
    classes: small ? 40 : published.classes,
    trainImages: small ? 2560 : published.trainImages,
    validationImages: 0,
    testImages: small ? 639 : published.testImages,
    imageSize: imageSizeOf(network),
    batchSize: 32,
    epochs,
    steps: 100,
    seed,
    engine: 'onnx',
    configHash: `${bits === 32 ? 'ffff' : 'abcd'}0123`.padEnd(64, '0'),
    programVersion: '0.1.0',
  };
  return {
    task,
    variant: null,
    summary,
    folder: `runs/${name}`,
    command: `xbm train --task ${task} --set method.name=${method} --set training.seed=${seed}`,
    configText: `task: ${task}\nmethod: { name: ${method} }\ntraining: { seed: ${seed} }\n`,
    curve: curve(epochs, accuracy, shareOff, key),
    layers,
    maskPictures: [],
    costs: [],
  };
}

function shares(network: string, granularity: Granularity, percent: number, seed: number, key: number) {
  const convs = layersOfKind(buildNetwork(network, 10), 'conv');
  return convs.map((conv, i) => {
    const [columns, segments] = maskShape(conv, { granularity, rows: 72 });
    const bits = columns * segments;
    const share = (percent / 100) * (0.4 + (0.9 * i) / convs.length + 0.2 * uniform(key, i, seed));
    return { name: conv.name, bits, off: Math.round(bits * Math.min(1, share)) };
  });
}

function curve(epochs: number, accuracy: number, shareOff: number, key: number): CurvePoint[] {
  return Array.from({ length: epochs }, (_, i) => {
    const done = 1 - Math.exp((-4 * (i + 1)) / epochs);
    return {
      epoch: i + 1,
      loss: 4.5 * (1 - done) + 0.05 * uniform(key, i),
      accuracy: Math.min(100, (accuracy + 8) * done),
      shareOff: shareOff * done,
      validation: null,
    };
  });
}

async function pictures(network: string, task: string) {
  const graph = buildNetwork(network, 10);
  const masks = Object.fromEntries(
    layersOfKind(graph, 'conv').map((conv) => {
      const [columns, segments] = maskShape(conv, { granularity: 'column', rows: 72 });
      const key = hashString(`${task} ${conv.name}`);
      const bit = (_: unknown, i: number) => Number(uniform(key, i) > 0.35);
      return [conv.name, Uint8Array.from({ length: columns * segments }, bit)];
    }),
  );
  return maskPicturesOf({ graph, masks });
}

function taskResult({ task, summary, folder }: ExperimentRun): TaskResult {
  const { method, accuracy, testImages, classes, maskBits, shareOff } = summary;
  return {
    task,
    method,
    source: folder,
    accuracy,
    testImages,
    classes,
    trainsBatchNorm: method !== 'classifier',
    maskBits,
    shareOff,
    gating: method === 'xbm' ? { kind: 'share', shareOff: shareOff / 100 } : { kind: 'none' },
    stored:
      method === 'piggyback'
        ? { kind: 'masked-share', shareOff: shareOff / 100 }
        : method === 'finetune'
          ? { kind: 'level-change', meanLevelChange: 1 }
          : { kind: 'backbone' },
  };
}
