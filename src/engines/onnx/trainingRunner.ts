import ort from 'onnxruntime-node';
import { gumbelNoise } from '../../adaption/noise.js';
import type { TaskState } from '../../adaption/parameters.js';
import type { Batch } from '../../data/batch.js';
import type { StepMetrics, StepSettings, TrainingPlan } from '../engine.js';
import { stateToVectors, vectorsToState } from './layout.js';
import type { WorkerOptions, WorkerRequest } from './protocol.js';
import { createSession, type Session } from './session.js';
import { buildTrainingModel, type TrainingModel } from './trainingGraph.js';

type Vectors = Map<string, ort.Tensor>;

/** Runs training steps. The state lives in two sets of vectors: a step reads one and writes the other. */
export class TrainingRunner {
  #current: Vectors;
  #next: Vectors;
  #step: number;

  private constructor(
    private readonly plan: TrainingPlan,
    private readonly initial: TaskState,
    private readonly model: Omit<TrainingModel, 'bytes'>,
    private readonly session: Session,
  ) {
    this.#step = initial.step;
    const vectors = stateToVectors(model.layout, initial);
    const toTensor = (data: Float32Array) => new ort.Tensor('float32', data, [data.length]);
    this.#current = new Map([...vectors].map(([name, data]) => [name, toTensor(data)]));
    this.#next = new Map([...vectors].map(([name, data]) => [name, toTensor(new Float32Array(data.length))]));
  }

  static async open(plan: TrainingPlan, state: TaskState, options: WorkerOptions): Promise<TrainingRunner> {
    const { bytes, layout, noiseLength } = buildTrainingModel(
      plan,
      state,
      options.mergedPixels,
      options.winogradChannels,
    );
    const session = await createSession(bytes, options);
    return new TrainingRunner(plan, state, { layout, noiseLength }, session);
  }

  async handle(request: WorkerRequest): Promise<StepMetrics | TaskState> {
    switch (request.call) {
      case 'trainStep': {
        const { batch, at } = request.argument as WorkerRequest<'trainStep'>['argument'];
        return this.#trainStep(batch, at);
      }
      case 'readState': {
        const vectors = new Map([...this.#current].map(([name, { data }]) => [name, data as Float32Array]));
        return vectorsToState(this.model.layout, vectors, this.initial, this.#step);
      }
      default:
        throw new Error(`a training session has no ${request.call}`);
    }
  }

  release(): Promise<void> {
    return this.session.release();
  }

  async #trainStep(batch: Batch, at: StepSettings): Promise<StepMetrics> {
    const { batchSize, imageSize, optimizer } = this.plan;
    const scalar = (value: number) => new ort.Tensor('float32', Float32Array.of(value), []);
    const feeds: Record<string, ort.Tensor> = {
      pixels: new ort.Tensor('uint8', batch.pixels, [batchSize, imageSize, imageSize, 3]),
      labels: new ort.Tensor('int32', batch.labels, [batchSize]),
      ...Object.fromEntries(this.#current),
    };
    for (const group of this.model.layout.groups.keys()) {
      feeds[`learningRate.${group}`] = scalar(at.learningRates[group]);
    }
    if (optimizer.kind === 'adam') {
      feeds.correction1 = scalar(1 - optimizer.beta1 ** (at.step + 1));
      feeds.correction2 = scalar(1 - optimizer.beta2 ** (at.step + 1));
    }
    if (this.model.noiseLength > 0) feeds.noise = this.#noise(at.step);
    const fetches: Record<string, ort.Tensor | null> = { loss: null, correct: null };
    for (const [name, tensor] of this.#next) fetches[`next:${name}`] = tensor;
    const results = await this.session.run(feeds, fetches as ort.InferenceSession.FetchesType);
    [this.#current, this.#next] = [this.#next, this.#current];
    this.#step = at.step + 1;
    return {
      loss: (results.loss.data as Float32Array)[0],
      correct: (results.correct.data as Int32Array)[0],
    };
  }

  #noise(step: number): ort.Tensor {
    const masks = this.model.layout.groups.get('masks')!;
    const values = new Float32Array(masks.length);
    let offset = 0;
    masks.specs.forEach((spec, i) => {
      const layer = spec.name.slice(0, -'.scores'.length);
      values.set(gumbelNoise(this.plan.seed, step, layer, masks.sizes[i]), offset);
      offset += masks.sizes[i];
    });
    return new ort.Tensor('float32', values, [values.length]);
  }
}
