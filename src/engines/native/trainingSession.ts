import type { TaskState } from '../../adaption/parameters.js';
import type { Batch } from '../../data/batch.js';
import { checkBatchStatistics, checkTrainingBatch } from '../checkBatch.js';
import { stepValues } from '../compiled/stepValues.js';
import type { StepMetrics, StepSettings, TrainingPlan, TrainingSession } from '../engine.js';
import { StepQueue } from '../stepQueue.js';
import type { Addon } from './addon.js';
import type { KernelTime, StepValues } from './program.js';
import type { Precision } from './taskWeights.js';
import { type CompiledTraining, compileTraining } from './trainingProgram.js';

/** Trains a task: a step writes its batch, runs the compiled program and reads two numbers. */
export class NativeTrainingSession implements TrainingSession {
  /** Steps run one after the other: they share their memory. */
  #last: Promise<unknown> = Promise.resolve();
  readonly #queue = new StepQueue();
  #stepsDone: number;

  private constructor(
    private readonly training: TrainingPlan,
    private readonly compiled: CompiledTraining,
    stepsDone: number,
  ) {
    this.#stepsDone = stepsDone;
  }

  static open(
    addon: Addon,
    training: TrainingPlan,
    state: TaskState,
    options: { readonly threads: number; readonly precision: Precision },
  ): NativeTrainingSession {
    checkBatchStatistics(training);
    const compiled = compileTraining(addon, training, state.tensors, options);
    const { program, task } = compiled;
    task.layout.pack(state).forEach((vector, i) => {
      program.floatsOf(task.vectors[i], vector.length).set(vector);
    });
    return new NativeTrainingSession(training, compiled, state.step);
  }

  async trainStep(batch: Batch, at: StepSettings): Promise<{ metrics: Promise<StepMetrics> }> {
    checkTrainingBatch(batch, this.training);
    await this.#queue.room();
    // The caller may fill the batch anew while this step waits for the one before.
    const own = { pixels: batch.pixels.slice(), labels: batch.labels.slice() };
    const metrics = this.#last.then(() => this.#run(own, at));
    this.#last = metrics.catch(() => {});
    this.#queue.add(metrics);
    return { metrics };
  }

  async readState(): Promise<TaskState> {
    await this.#last;
    const { program, task } = this.compiled;
    const vectors = task.vectors.map((tensor) => program.floatsOf(tensor, task.layout.length));
    return task.layout.unpack(vectors, this.#stepsDone);
  }

  async close(): Promise<void> {
    await this.#last;
    this.compiled.program.close();
  }

  /** Computes a step with the last batch and says what each kernel took. */
  async profile(at: StepSettings): Promise<KernelTime[]> {
    await this.#last;
    return this.compiled.program.profile(this.#stepValues(at));
  }

  /** Of all tensors. */
  get bytes(): number {
    return this.compiled.program.bytes;
  }

  async #run(batch: Batch, at: StepSettings): Promise<StepMetrics> {
    const { program, pixels, labels, metrics } = this.compiled;
    program.bytesOf(pixels).set(batch.pixels);
    program.bytesOf(labels).set(new Uint8Array(batch.labels.buffer));
    await program.run(this.#stepValues(at));
    this.#stepsDone = at.step + 1;
    const [loss, correct] = program.floatsOf(metrics, 2);
    return { loss, correct };
  }

  #stepValues(at: StepSettings): StepValues {
    const { optimizer } = this.training;
    const adam = optimizer.kind === 'adam' ? optimizer : null;
    return {
      ...stepValues(optimizer, at),
      isAdam: adam ? 1 : 0,
      beta1: adam?.beta1 ?? 0,
      beta2: adam?.beta2 ?? 0,
      epsilon: adam?.epsilon ?? 0,
      momentum: optimizer.kind === 'sgd' ? optimizer.momentum : 0,
      weightDecay: optimizer.weightDecay,
    };
  }
}
