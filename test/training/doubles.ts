/**
 * @file Doubles behind the seams, small and deterministic: an engine that really learns a linear classifier on mean
 * colours (its masks and batch norm drift by hashed gradients), and a loader of synthetic coloured images.
 */
import { binarize } from '../../src/adaption/fold.js';
import { type TaskState, type TaskTensorSpec, taskTensors } from '../../src/adaption/parameters.js';
import type { Batch } from '../../src/data/batch.js';
import type { BatchLoader, Sample } from '../../src/data/types.js';
import type {
  Engine,
  InferencePlan,
  InferenceSession,
  StepMetrics,
  StepSettings,
  TrainingPlan,
  TrainingSession,
} from '../../src/engines/engine.js';
import { type Backbone, IMAGENET_NORMALIZATION } from '../../src/model/backbone.js';
import { headOf, layersOfKind } from '../../src/model/graph.js';
import { sealBackbone } from '../../src/model/hash.js';
import { buildResidualNetwork } from '../../src/model/networks.js';
import { hash32, hashString, permutation, uniform } from '../../src/random.js';

/** Two 3×3 convolutions of 4 channels and a stem. */
export function tinyBackbone(bits = 4, seed = 1): Backbone {
  const graph = buildResidualNetwork(
    'tiny',
    { block: 'basic', stages: [{ width: 4, blocks: 1 }], stem: 'cifar' },
    5,
  );
  const limit = 2 ** (bits - 1) - 1;
  const convs: Backbone['convs'] = Object.fromEntries(
    layersOfKind(graph, 'conv').map((conv) => {
      const key = hashString(conv.name);
      const size = conv.outChannels * conv.inChannels * conv.kernel ** 2;
      const draw = (i: number) => 2 * uniform(seed, key, i) - 1;
      if (bits === 32)
        return [
          conv.name,
          { kind: 'float' as const, values: Float32Array.from({ length: size }, (_, i) => draw(i)) },
        ];
      const levels = Int8Array.from({ length: size }, (_, i) => Math.round(draw(i) * limit));
      const scales = Float32Array.from(
        { length: conv.outChannels },
        (_, i) => 0.02 + 0.01 * uniform(seed, i),
      );
      return [conv.name, { kind: 'levels' as const, levels, scales, bits }];
    }),
  );
  const batchNorms = Object.fromEntries(
    layersOfKind(graph, 'batchNorm').flatMap(({ name, channels }) => [
      [`${name}.weight`, new Float32Array(channels).fill(1)],
      [`${name}.bias`, new Float32Array(channels)],
      [`${name}.running_mean`, new Float32Array(channels)],
      [`${name}.running_var`, new Float32Array(channels).fill(1)],
    ]),
  );
  const { inFeatures, outFeatures } = headOf(graph);
  return sealBackbone({
    graph,
    convs,
    batchNorms,
    clips:
      bits === 32 ? {} : Object.fromEntries(layersOfKind(graph, 'quantize').map(({ name }) => [name, 1])),
    weightBits: bits,
    activationBits: bits,
    head: { weight: new Float32Array(inFeatures * outFeatures), bias: new Float32Array(outFeatures) },
    classes: [],
    normalization: IMAGENET_NORMALIZATION,
  });
}

export interface DoubleEngineOptions {
  /** The loss of this step is NaN. */
  readonly nanAtStep?: number;
  /** Called when a step is submitted. */
  readonly onStep?: (step: number) => void;
}

export class DoubleEngine implements Engine {
  readonly name = 'tfjs';
  readonly inference = 'tfjs';
  readonly device = 'test double';
  readonly gradientPrecision = 'float32';
  /** Most steps whose metrics were outstanding at once. */
  mostInFlight = 0;

  constructor(readonly options: DoubleEngineOptions = {}) {}

  async openTraining(plan: TrainingPlan, state: TaskState): Promise<TrainingSession> {
    return new DoubleTraining(this, plan, copyState(state));
  }

  async openInference(plan: InferencePlan): Promise<InferenceSession> {
    const { tensors, graph, convs } = plan.network;
    const first = convs.conv1;
    const values = Array.from(first.kind === 'levels' ? first.levels : first.values);
    const live = values.reduce((count, value) => count + Number(value !== 0), 0) / values.length;
    return {
      predict: async (batch) => ({
        logits: logitsOf(batch, tensors, headOf(graph), live),
        taps: {},
      }),
      close: async () => {},
    };
  }
}

class DoubleTraining implements TrainingSession {
  readonly #trained: TaskTensorSpec[];
  #inFlight = 0;

  constructor(
    readonly engine: DoubleEngine,
    readonly plan: TrainingPlan,
    readonly state: TaskState,
  ) {
    this.#trained = taskTensors(plan.graph, plan.method).filter((spec) => spec.role === 'trained');
  }

  async trainStep(batch: Batch, at: StepSettings): Promise<{ metrics: Promise<StepMetrics> }> {
    this.engine.options.onStep?.(at.step);
    this.engine.mostInFlight = Math.max(this.engine.mostInFlight, ++this.#inFlight);
    const { loss, correct, gradients } = this.#gradients(batch, at.step);
    for (const spec of this.#trained) this.#update(spec, gradients(spec), at.learningRates[spec.group]);
    this.state.step++;
    const reported = at.step === this.engine.options.nanAtStep ? Number.NaN : loss;
    const metrics = new Promise<StepMetrics>((resolve) => {
      setImmediate(() => {
        this.#inFlight--;
        resolve({ loss: reported, correct });
      });
    });
    return { metrics };
  }

  async readState(): Promise<TaskState> {
    return copyState(this.state);
  }

  async close(): Promise<void> {}

  #gradients(batch: Batch, step: number) {
    const { graph, method } = this.plan;
    const head = headOf(graph);
    const scores = this.state.tensors['conv1.scores'];
    const live = scores ? binarize(scores, method.mask!).reduce((a, b) => a + b, 0) / scores.length : 1;
    const logits = logitsOf(batch, this.state.tensors, head, live);
    const { inFeatures, outFeatures } = head;
    const weight = new Float32Array(inFeatures * outFeatures);
    const bias = new Float32Array(outFeatures);
    let loss = 0;
    let correct = 0;
    const images = batch.labels.length;
    batch.labels.forEach((label, n) => {
      const row = logits.subarray(n * outFeatures, (n + 1) * outFeatures);
      const exps = Array.from(row, (logit) => Math.exp(logit - Math.max(...row)));
      const sum = exps.reduce((a, b) => a + b, 0);
      loss -= Math.log(exps[label] / sum) / images;
      correct += Number(row.indexOf(Math.max(...row)) === label);
      const features = featuresOf(batch, n, inFeatures, live);
      for (let k = 0; k < outFeatures; k++) {
        const delta = (exps[k] / sum - Number(k === label)) / images;
        bias[k] += delta;
        for (let j = 0; j < inFeatures; j++) weight[k * inFeatures + j] += delta * features[j];
      }
    });
    const drift = (spec: TaskTensorSpec) => {
      const key = hashString(spec.name);
      const size = spec.shape.reduce((a, b) => a * b, 1);
      return Float32Array.from({ length: size }, (_, i) => loss * (uniform(step, key, i) - 0.45));
    };
    const gradients = (spec: TaskTensorSpec) =>
      spec.name === 'fc.weight' ? weight : spec.name === 'fc.bias' ? bias : drift(spec);
    return { loss, correct, gradients };
  }

  #update({ name }: TaskTensorSpec, gradient: Float32Array, rate: number): void {
    const values = this.state.tensors[name];
    const { optimizer } = this.plan;
    for (let i = 0; i < values.length; i++) {
      if (optimizer.kind === 'sgd') {
        const moment = this.state.moments[`${name}.momentum`];
        moment[i] = optimizer.momentum * moment[i] + gradient[i];
        values[i] -= rate * moment[i];
      } else {
        const m = this.state.moments[`${name}.m`];
        const v = this.state.moments[`${name}.v`];
        m[i] = 0.9 * m[i] + 0.1 * gradient[i];
        v[i] = 0.999 * v[i] + 0.001 * gradient[i] ** 2;
        values[i] -= (rate * m[i]) / (Math.sqrt(v[i]) + 1e-8);
      }
    }
  }
}

function featuresOf(batch: Batch, image: number, count: number, live: number): Float32Array {
  const size = batch.pixels.length / batch.labels.length;
  const means = [0, 0, 0];
  for (let i = 0; i < size; i++) means[i % 3] += (3 * batch.pixels[image * size + i]) / size / 255;
  return Float32Array.from({ length: count }, (_, j) => live * means[j % 3] * (1 + 0.1 * j) - 0.5);
}

function logitsOf(
  batch: Batch,
  tensors: Readonly<Record<string, Float32Array>>,
  { inFeatures, outFeatures }: { inFeatures: number; outFeatures: number },
  live: number,
): Float32Array {
  const logits = new Float32Array(batch.labels.length * outFeatures);
  for (let n = 0; n < batch.labels.length; n++) {
    const features = featuresOf(batch, n, inFeatures, live);
    for (let k = 0; k < outFeatures; k++) {
      let sum = tensors['fc.bias'][k];
      for (let j = 0; j < inFeatures; j++) sum += tensors['fc.weight'][k * inFeatures + j] * features[j];
      logits[n * outFeatures + k] = sum;
    }
  }
  return logits;
}

export function copyState(state: TaskState): TaskState {
  const copy = (values: Record<string, Float32Array>) =>
    Object.fromEntries(Object.entries(values).map(([name, array]) => [name, array.slice()]));
  return { step: state.step, tensors: copy(state.tensors), moments: copy(state.moments) };
}

export interface ColourLoaderOptions {
  readonly samples: number;
  readonly classes: number;
  readonly batchSize: number;
  readonly mode: 'train' | 'evaluate';
  readonly seed?: number;
  readonly imageSize?: number;
}

/** Images of one colour per class plus noise; training drops the last partial batch, evaluation pads it. */
export class ColourLoader implements BatchLoader {
  readonly samples: readonly Sample[];
  readonly batchesPerEpoch: number;
  readonly imagesHash: string;

  constructor(readonly options: ColourLoaderOptions) {
    const { samples, classes, batchSize, mode } = options;
    this.imagesHash = JSON.stringify(options);
    this.samples = Array.from({ length: samples }, (_, i) => ({ path: `/image-${i}`, label: i % classes }));
    this.batchesPerEpoch =
      mode === 'train' ? Math.floor(samples / batchSize) : Math.ceil(samples / batchSize);
  }

  async *epoch(epoch: number, fromBatch = 0): AsyncIterable<Batch> {
    const { batchSize, mode, seed = 0 } = this.options;
    const count = this.samples.length;
    const order =
      mode === 'train' ? permutation(count, seed, epoch) : Uint32Array.from({ length: count }, (_, i) => i);
    for (let b = fromBatch; b < this.batchesPerEpoch; b++) {
      yield this.#batch(Array.from(order.subarray(b * batchSize, (b + 1) * batchSize)), epoch);
    }
  }

  async close(): Promise<void> {}

  #batch(indices: number[], epoch: number): Batch {
    const { batchSize, imageSize = 8, seed = 0 } = this.options;
    const perImage = imageSize * imageSize * 3;
    const pixels = new Uint8Array(batchSize * perImage);
    const labels = new Int32Array(batchSize).fill(-1);
    indices.forEach((index, n) => {
      labels[n] = this.samples[index].label;
      for (let i = 0; i < perImage; i++) {
        const base = hash32(77, labels[n], i % 3) % 160;
        pixels[n * perImage + i] = base + (hash32(seed, epoch, index, i) % 90);
      }
    });
    return { pixels, labels };
  }
}
