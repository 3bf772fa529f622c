import type { TaskState } from '../../adaption/parameters.js';
import type { Batch } from '../../data/batch.js';
import { checkBatchStatistics, checkTrainingBatch } from '../checkBatch.js';
import { stepValues } from '../compiled/stepValues.js';
import type { StepMetrics, StepSettings, TrainingPlan, TrainingSession } from '../engine.js';
import { StepQueue } from '../stepQueue.js';
import type { Gpu } from './device.js';
import type { KernelUse } from './plan.js';
import { type CompiledTraining, compileTraining } from './trainingPlan.js';

/** Trains a task: a step writes its batch and settings, submits the compiled plan and reads two numbers back. */
export class WebGpuTrainingSession implements TrainingSession {
  readonly #queue = new StepQueue();
  #stepsDone: number;

  private constructor(
    private readonly training: TrainingPlan,
    private readonly compiled: CompiledTraining,
    stepsDone: number,
  ) {
    this.#stepsDone = stepsDone;
  }

  static async open(gpu: Gpu, training: TrainingPlan, state: TaskState): Promise<WebGpuTrainingSession> {
    checkBatchStatistics(training);
    const compiled = await compileTraining(gpu, training, state.tensors);
    compiled.layout.pack(state).forEach((vector, i) => {
      compiled.plan.write(compiled.state[i], vector);
    });
    return new WebGpuTrainingSession(training, compiled, state.step);
  }

  async trainStep(batch: Batch, at: StepSettings): Promise<{ metrics: Promise<StepMetrics> }> {
    checkTrainingBatch(batch, this.training);
    await this.#queue.room();
    const { plan, pixels, labels, metrics } = this.compiled;
    plan.write(pixels, batch.pixels as Uint8Array<ArrayBuffer>);
    plan.write(labels, batch.labels as Int32Array<ArrayBuffer>);
    plan.writeStep(stepValues(this.training.optimizer, at));
    const result = plan.run([metrics]).then(([values]): StepMetrics => {
      const [loss, correct] = new Float32Array(values);
      return { loss, correct };
    });
    this.#queue.add(result);
    this.#stepsDone = at.step + 1;
    return { metrics: result };
  }

  async readState(): Promise<TaskState> {
    const { plan, layout, state } = this.compiled;
    const vectors = await plan.read(state);
    return layout.unpack(
      vectors.map((bytes) => new Float32Array(bytes)),
      this.#stepsDone,
    );
  }

  async close(): Promise<void> {
    await this.#queue.idle();
    this.compiled.plan.close();
  }

  /** Computes a step with the last batch and settings, and says what each kind of kernel took. */
  profile(): Promise<KernelUse[]> {
    return this.compiled.plan.profile();
  }

  /** Of all buffers on the GPU. */
  get bytes(): number {
    return this.compiled.plan.bytes;
  }
}
