import ort from 'onnxruntime-node';
import type { Batch } from '../../data/batch.js';
import type { InferencePlan, Prediction } from '../engine.js';
import { buildInferenceModel } from './inferenceGraph.js';
import type { WorkerOptions, WorkerRequest } from './protocol.js';
import { createSession, type Session } from './session.js';

/** Runs a folded network. */
export class InferenceRunner {
  private constructor(
    private readonly batchSize: number,
    private readonly imageSize: number,
    private readonly session: Session,
  ) {}

  static async open(plan: InferencePlan, options: WorkerOptions): Promise<InferenceRunner> {
    const session = await createSession(buildInferenceModel(plan), options);
    return new InferenceRunner(plan.batchSize, plan.imageSize, session);
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

  async #predict(batch: Batch): Promise<Prediction> {
    const dims = [this.batchSize, this.imageSize, this.imageSize, 3];
    const results = await this.session.run({ pixels: new ort.Tensor('uint8', batch.pixels, dims) });
    const taps: Record<string, Float32Array> = {};
    for (const [name, { data }] of Object.entries(results)) {
      if (name.startsWith('tap:')) taps[name.slice('tap:'.length)] = data as Float32Array;
    }
    return { logits: results.logits.data as Float32Array, taps };
  }
}
