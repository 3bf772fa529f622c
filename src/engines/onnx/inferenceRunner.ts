import ort from 'onnxruntime-node';
import type { Batch } from '../../data/batch.js';
import { headOf } from '../../model/graph.js';
import type { InferencePlan, Prediction } from '../engine.js';
import { buildIntegerModel, hasIntegerForm, imagesPerRun } from './frozen/integerModel.js';
import { buildInferenceModel } from './inferenceGraph.js';
import type { WorkerOptions, WorkerRequest } from './protocol.js';
import { createSession, type Session } from './session.js';

/** Runs a folded network: in integers where its levels allow it, in float32 where taps are asked for. */
export class InferenceRunner {
  private constructor(
    private readonly plan: InferencePlan,
    private readonly session: Session,
    /** Images at once; the whole batch where the graph's batch size is fixed. */
    private readonly imagesPerRun: number,
  ) {}

  static async open(plan: InferencePlan, options: WorkerOptions): Promise<InferenceRunner> {
    // Calibration taps real values between a convolution and its quantiser, which integer graphs do not have.
    if (hasIntegerForm(plan.network) && !plan.taps?.length) {
      const { bytes } = buildIntegerModel(plan);
      return new InferenceRunner(plan, await createSession(bytes, options), imagesPerRun(plan));
    }
    const session = await createSession(buildInferenceModel(plan), options);
    return new InferenceRunner(plan, session, plan.batchSize);
  }

  async handle(request: WorkerRequest): Promise<Prediction> {
    switch (request.call) {
      case 'predict':
        return this.#predict(request.argument as Batch);
      default:
        throw new Error(`an inference session has no ${request.call}`);
    }
  }

  release(): Promise<void> {
    return this.session.release();
  }

  async #predict({ pixels }: Batch): Promise<Prediction> {
    const { batchSize } = this.plan;
    const { outFeatures: classes } = headOf(this.plan.network.graph);
    const logits = new Float32Array(batchSize * classes);
    let taps: Record<string, Float32Array> = {};
    for (let first = 0; first < batchSize; first += this.imagesPerRun) {
      const results = await this.#run(pixels, first, Math.min(this.imagesPerRun, batchSize - first));
      logits.set(results.logits, first * classes);
      taps = results.taps;
    }
    return { logits, taps };
  }

  async #run(pixels: Uint8Array, first: number, images: number): Promise<Prediction> {
    const { imageSize } = this.plan;
    const bytes = imageSize * imageSize * 3;
    const chosen = pixels.subarray(first * bytes, (first + images) * bytes);
    const dims = [images, imageSize, imageSize, 3];
    const results = await this.session.run({ pixels: new ort.Tensor('uint8', chosen, dims) });
    const taps: Record<string, Float32Array> = {};
    for (const [name, { data }] of Object.entries(results)) {
      if (name.startsWith('tap:')) taps[name.slice('tap:'.length)] = data as Float32Array;
    }
    return { logits: results.logits.data as Float32Array, taps };
  }
}
