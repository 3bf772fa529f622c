/** @file Tiny networks, random backbones, task states and batches for tests of engines; all a function of a seed. */
import { binarize, type FoldedNetwork, foldTask } from '../../src/adaption/fold.js';
import type { MaskSpec, MethodName, MethodSpec, OptimizerSpec } from '../../src/adaption/method.js';
import { initialTaskState, type TaskState } from '../../src/adaption/parameters.js';
import type { Batch } from '../../src/data/batch.js';
import type { TrainingPlan } from '../../src/engines/engine.js';
import { type Backbone, type ConvWeights, IMAGENET_NORMALIZATION } from '../../src/model/backbone.js';
import { headOf, type LayerGraph, layersOfKind, withClasses } from '../../src/model/graph.js';
import { buildResidualNetwork } from '../../src/model/networks.js';
import { hashString, uniform } from '../../src/random.js';

/**
 * `bottleneck`: 7×7 stem of stride 2, 3×3 max pool, bottleneck blocks, one with a 3×3 convolution of stride 2.
 * `basic`: 3×3 stem, basic blocks, one of stride 2, one without a projection.
 */
export type TinyNetwork = 'bottleneck' | 'basic';

export function tinyNetwork(kind: TinyNetwork, classes: number): LayerGraph {
  return kind === 'bottleneck'
    ? buildResidualNetwork(
        'tiny-bottleneck',
        { block: 'bottleneck', stages: stages(2, 3), stem: 'imagenet' },
        classes,
      )
    : buildResidualNetwork('tiny-basic', { block: 'basic', stages: stages(4, 6), stem: 'cifar' }, classes);
}

const stages = (...widths: number[]) => widths.map((width) => ({ width, blocks: 1 }));

/** Images that leave a remainder under stride 2: where 'same' padding and PyTorch's differ. */
export const tinyImageSize: Readonly<Record<TinyNetwork, number>> = { bottleneck: 15, basic: 7 };

/** A standard normal draw (Box–Muller), a function of the key. */
export function gaussian(...key: number[]): number {
  return Math.sqrt(-2 * Math.log(uniform(...key, 0))) * Math.cos(2 * Math.PI * uniform(...key, 1));
}

/** Normal values of a given mean and deviation, keyed by a name. */
export function gaussians(
  length: number,
  mean: number,
  deviation: number,
  name: string,
  seed: number,
): Float32Array {
  const key = hashString(name);
  return Float32Array.from({ length }, (_, i) => mean + deviation * gaussian(seed, key, i));
}

export interface BackboneOptions {
  readonly weightBits?: number;
  readonly activationBits?: number;
  readonly seed?: number;
}

/** He-initialised weights, on a grid per output channel below 32 bits; batch norm and clips that keep signals near 1. */
export function randomBackbone(graph: LayerGraph, options: BackboneOptions = {}): Backbone {
  const { weightBits = 4, activationBits = 4, seed = 1 } = options;
  const convs: Record<string, ConvWeights> = {};
  for (const conv of layersOfKind(graph, 'conv')) {
    const perFilter = conv.inChannels * conv.kernel ** 2;
    const values = gaussians(conv.outChannels * perFilter, 0, Math.sqrt(2 / perFilter), conv.name, seed);
    convs[conv.name] =
      weightBits === 32 ? { kind: 'float', values } : toGrid(values, conv.outChannels, weightBits);
  }
  const batchNorms: Record<string, Float32Array> = {};
  for (const { name, channels } of layersOfKind(graph, 'batchNorm')) {
    batchNorms[`${name}.weight`] = gaussians(channels, 1, 0.15, `${name}.weight`, seed);
    batchNorms[`${name}.bias`] = gaussians(channels, 0.1, 0.2, `${name}.bias`, seed);
    batchNorms[`${name}.running_mean`] = gaussians(channels, 0, 0.3, `${name}.running_mean`, seed);
    batchNorms[`${name}.running_var`] = gaussians(channels, 1, 0.1, `${name}.running_var`, seed).map(
      Math.abs,
    );
  }
  const quantizers = activationBits === 32 ? [] : layersOfKind(graph, 'quantize');
  const clips = quantizers.map(({ name }) => [name, Math.fround(1.5 + uniform(seed, hashString(name)))]);
  const head = headOf(graph);
  return {
    graph,
    convs,
    batchNorms,
    clips: Object.fromEntries(clips),
    weightBits,
    activationBits,
    head: {
      weight: gaussians(head.outFeatures * head.inFeatures, 0, 0.3, 'fc.weight', seed),
      bias: gaussians(head.outFeatures, 0, 0.1, 'fc.bias', seed),
    },
    classes: [],
    normalization: IMAGENET_NORMALIZATION,
    sha256: '0'.repeat(64),
  };
}

function toGrid(values: Float32Array, outChannels: number, bits: number): ConvWeights {
  const limit = 2 ** (bits - 1) - 1;
  const perFilter = values.length / outChannels;
  const scales = Float32Array.from({ length: outChannels }, (_, channel) => {
    const filter = values.subarray(channel * perFilter, (channel + 1) * perFilter);
    return (0.8 * Math.max(...filter.map(Math.abs))) / limit; // the largest weights clip
  });
  const levels = Int8Array.from(values, (value, i) =>
    Math.max(-limit, Math.min(limit, Math.round(value / scales[Math.floor(i / perFilter)]))),
  );
  return { kind: 'levels', levels, scales, bits };
}

export const adam: OptimizerSpec = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };
export const plainSgd: OptimizerSpec = { kind: 'sgd', momentum: 0, weightDecay: 0 };

/** A method as the published ones are, with changes. */
export function tinyMethod(
  name: MethodName,
  mask: Partial<MaskSpec> = {},
  changes: Partial<MethodSpec> = {},
): MethodSpec {
  const masked = name === 'xbm' || name === 'piggyback';
  const published: MaskSpec = {
    granularity: name === 'xbm' ? 'column' : 'element',
    rows: 8,
    binarizer: name === 'xbm' ? 'sigmoid' : 'identity',
    threshold: 0.005,
    slope: 12,
    noise: false,
    initialScore: 0.01,
  };
  return {
    name,
    mask: masked ? { ...published, ...mask } : null,
    trainWeights: name === 'finetune',
    trainBatchNorm: name !== 'classifier',
    ...changes,
  };
}

export interface CaseOptions extends BackboneOptions {
  readonly network?: TinyNetwork;
  readonly method?: MethodSpec;
  readonly optimizer?: OptimizerSpec;
  readonly batchSize?: number;
}

export const tinyClasses = 5;

/** A training plan on a network with random weights, adapted to so many classes. */
export function randomPlan(
  network: LayerGraph,
  classes: number,
  options: BackboneOptions & Pick<TrainingPlan, 'method' | 'batchSize' | 'imageSize'>,
): TrainingPlan {
  const { method, batchSize, imageSize, ...weights } = options;
  const backbone = randomBackbone(network, weights);
  const graph = withClasses(backbone.graph, classes);
  return { graph, backbone, method, optimizer: adam, batchSize, imageSize, seed: 0 };
}

/** A training plan on a tiny network. */
export function tinyPlan(options: CaseOptions = {}): TrainingPlan {
  const { network = 'bottleneck', method = tinyMethod('xbm'), optimizer = adam, batchSize = 3 } = options;
  const backbone = randomBackbone(tinyNetwork(network, 10), options);
  return {
    graph: withClasses(backbone.graph, tinyClasses),
    backbone,
    method,
    optimizer,
    batchSize,
    imageSize: tinyImageSize[network],
    seed: 7,
  };
}

/** A state in mid-training: scores on both sides of the threshold, moved weights and batch norm, zero moments. */
export function tinyState(plan: TrainingPlan, seed = 1): TaskState {
  const state = initialTaskState(plan.graph, plan.backbone, plan.method, plan.optimizer, seed);
  for (const [name, values] of Object.entries(state.tensors)) {
    if (name.endsWith('.scores')) {
      state.tensors[name] = gaussians(values.length, plan.method.mask!.threshold + 0.03, 0.06, name, seed);
    } else if (plan.method.trainWeights && !name.includes('running')) {
      const moved = gaussians(values.length, 0, 0.02, name, seed);
      state.tensors[name] = values.map((value, i) => value + moved[i]);
    }
  }
  return state;
}

/** A trained state as inference runs it. */
export function folded({ graph, backbone, method }: TrainingPlan, { tensors }: TaskState): FoldedNetwork {
  const scores = Object.entries(tensors).filter(([name]) => name.endsWith('.scores'));
  const masks = scores.map(([name, values]) => [
    name.slice(0, -'.scores'.length),
    binarize(values, method.mask!),
  ]);
  return foldTask(graph, backbone, method, Object.fromEntries(masks), tensors);
}

/** Smooth random images, so that convolutions see structure, and labels of every class. */
export function tinyBatch(
  { batchSize, imageSize }: { batchSize: number; imageSize: number },
  seed = 1,
): Batch {
  const pixels = new Uint8Array(batchSize * imageSize * imageSize * 3);
  for (let i = 0; i < pixels.length; i++) {
    const [channel, column, row] = [
      i % 3,
      Math.floor(i / 3) % imageSize,
      Math.floor(i / 3 / imageSize) % imageSize,
    ];
    const image = Math.floor(i / (3 * imageSize * imageSize));
    const wave = (axis: number) => 1 + 5 * uniform(seed, image, channel, axis);
    const smooth = Math.sin((wave(0) * column) / imageSize + wave(1)) + Math.cos((wave(2) * row) / imageSize);
    pixels[i] = Math.max(0, Math.min(255, Math.round(128 + 45 * smooth + 25 * gaussian(seed, i))));
  }
  const labels = Int32Array.from({ length: batchSize }, (_, i) =>
    Math.floor(uniform(seed, 99, i) * tinyClasses),
  );
  return { pixels, labels };
}

export const learningRates = { masks: 2e-3, weights: 1e-3, batchNorm: 1e-3, head: 5e-3 };
