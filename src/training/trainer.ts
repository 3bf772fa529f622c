/** @file The training loop: batches in, steps submitted, metrics recorded, checkpoints taken. */
import { binarize } from '../adaption/fold.js';
import type { ParameterGroup } from '../adaption/method.js';
import { initialTaskState, type TaskState, taskTensors } from '../adaption/parameters.js';
import { maskShares } from '../adaption/task.js';
import type { BatchLoader } from '../data/types.js';
import type { Engine, StepMetrics, TrainingPlan, TrainingSession } from '../engines/engine.js';
import { UserError } from '../errors.js';
import { requireFiniteLoss, requireFiniteState } from './guards.js';
import type { BestValidation, Checkpoint, Recorder, RunningMetrics } from './recorder.js';
import { type LearningRates, type Schedule, scaleRates, scheduleFactor } from './schedule.js';

/** Steps whose metrics may be outstanding: one computes while the next is submitted. */
const STEPS_IN_FLIGHT = 2;

export interface TrainerOptions {
  readonly engine: Engine;
  readonly plan: TrainingPlan;
  readonly loader: BatchLoader;
  readonly epochs: number;
  readonly schedule: Schedule;
  readonly learningRates: LearningRates;
  /** Seconds between two checkpoints inside an epoch; one is also taken at the end of each epoch. */
  readonly checkpointSeconds: number;
  readonly recorder: Recorder;
  /** Continues here, else from the initial state. */
  readonly resume?: Checkpoint;
  /** The state before the first step; the method's own when absent. */
  readonly initialState?: TaskState;
  /** Measures the validation split after each epoch. */
  readonly validate?: (state: TaskState) => Promise<{ loss: number; accuracy: number }>;
  /** Stops after the step in progress, with a checkpoint. */
  readonly signal?: AbortSignal;
}

export interface TrainingOutcome {
  readonly finished: boolean;
  /** Where training ended; everything it says has been recorded. */
  readonly checkpoint: Checkpoint;
}

interface StepInFlight {
  readonly step: number;
  readonly learningRates: LearningRates;
  readonly metrics: Promise<StepMetrics>;
}

/** Trains one task; resuming from any checkpoint ends in the same bits as an uninterrupted run. */
export async function train(options: TrainerOptions): Promise<TrainingOutcome> {
  const { engine, plan, resume } = options;
  const initial =
    resume?.state ??
    options.initialState ??
    initialTaskState(plan.graph, plan.backbone, plan.method, plan.optimizer, plan.seed);
  const session = await engine.openTraining(plan, initial);
  try {
    return await new Trainer(options, session, initial).run();
  } finally {
    await session.close();
  }
}

class Trainer {
  readonly #options: TrainerOptions;
  readonly #session: TrainingSession;
  readonly #batchesPerEpoch: number;
  /** Groups with a trained tensor: the rates that a message may name. */
  readonly #groups: readonly ParameterGroup[];
  readonly #inFlight: StepInFlight[] = [];
  #step: number;
  #epoch: number;
  #batch: number;
  #running: RunningMetrics;
  #bestValidation: BestValidation | null;
  #lastCheckpoint = performance.now();

  constructor(options: TrainerOptions, session: TrainingSession, state: TaskState) {
    const { loader, plan, resume } = options;
    this.#options = options;
    this.#session = session;
    this.#batchesPerEpoch = loader.batchesPerEpoch;
    if (this.#batchesPerEpoch === 0) {
      throw new UserError(
        `${loader.samples.length} training images do not fill one batch of ${plan.batchSize}`,
        'Lower training.batchSize.',
      );
    }
    const trained = taskTensors(plan.graph, plan.method).filter((spec) => spec.role === 'trained');
    this.#groups = [...new Set(trained.map((spec) => spec.group))];
    this.#step = state.step;
    this.#epoch = resume?.epoch ?? 0;
    this.#batch = resume?.batch ?? 0;
    this.#running = { ...(resume?.running ?? noMetrics()) };
    this.#bestValidation = resume?.bestValidation ?? null;
    const expected = this.#epoch * this.#batchesPerEpoch + this.#batch;
    if (this.#step !== expected) {
      throw new UserError(
        `the checkpoint is at step ${this.#step}, but epoch ${this.#epoch + 1}, batch ${this.#batch} of this training set is step ${expected}`,
        'Train again with --force.',
      );
    }
  }

  async run(): Promise<TrainingOutcome> {
    const { epochs, signal } = this.#options;
    for (;;) {
      if (this.#epoch === epochs)
        return { finished: true, checkpoint: this.#position(await this.#readState()) };
      await this.#trainBatches();
      const checkpoint =
        this.#batch < this.#batchesPerEpoch ? await this.#saveCheckpoint() : await this.#endEpoch();
      if (this.#epoch === epochs) return { finished: true, checkpoint };
      if (signal?.aborted) return { finished: false, checkpoint };
    }
  }

  /** Trains to the end of the epoch, or until the signal asks to stop. */
  async #trainBatches(): Promise<void> {
    if (this.#batch === this.#batchesPerEpoch) return;
    for await (const batch of this.#options.loader.epoch(this.#epoch, this.#batch)) {
      const learningRates = this.#learningRates();
      const { metrics } = await this.#session.trainStep(batch, { step: this.#step, learningRates });
      metrics.catch(() => {}); // awaited in #settle; until then a failure is not an unhandled rejection
      this.#inFlight.push({ step: this.#step, learningRates, metrics });
      this.#step++;
      this.#batch++;
      await this.#settle(STEPS_IN_FLIGHT - 1);
      if (this.#options.signal?.aborted) return;
      if (this.#batch < this.#batchesPerEpoch && this.#checkpointIsDue()) await this.#saveCheckpoint();
    }
    if (this.#batch !== this.#batchesPerEpoch) {
      throw new Error(`epoch ${this.#epoch} ended after ${this.#batch} of ${this.#batchesPerEpoch} batches`);
    }
  }

  #learningRates(): LearningRates {
    const { schedule, learningRates, epochs } = this.#options;
    const totalSteps = epochs * this.#batchesPerEpoch;
    return scaleRates(learningRates, scheduleFactor(schedule, this.#step, totalSteps, this.#batchesPerEpoch));
  }

  /** Waits until at most `remaining` steps are in flight and records the others, in order. */
  async #settle(remaining: number): Promise<void> {
    const { recorder, plan } = this.#options;
    while (this.#inFlight.length > remaining) {
      const { step, learningRates, metrics } = this.#inFlight.shift()!;
      const { loss, correct } = await metrics;
      requireFiniteLoss(loss, step, Math.max(...this.#groups.map((group) => learningRates[group])));
      this.#running.lossSum += loss;
      this.#running.correct += correct;
      this.#running.images += plan.batchSize;
      this.#running.batches++;
      recorder.step({
        step,
        epoch: this.#epoch,
        loss,
        accuracy: (100 * correct) / plan.batchSize,
        learningRates,
      });
    }
  }

  async #endEpoch(): Promise<Checkpoint> {
    await this.#settle(0);
    const { recorder, validate, plan } = this.#options;
    const state = await this.#readState();
    const validation = validate ? await validate(state) : null;
    if (validation && validation.accuracy > (this.#bestValidation?.accuracy ?? -1)) {
      this.#bestValidation = { accuracy: validation.accuracy, epoch: this.#epoch };
    }
    const { lossSum, correct, images, batches } = this.#running;
    recorder.epoch({
      epoch: this.#epoch,
      steps: this.#step,
      loss: lossSum / batches,
      accuracy: (100 * correct) / images,
      shareOff: shareOff(state, plan),
      validation,
    });
    this.#epoch++;
    this.#batch = 0;
    this.#running = noMetrics();
    return this.#record(this.#position(state));
  }

  #checkpointIsDue(): boolean {
    return performance.now() - this.#lastCheckpoint >= 1000 * this.#options.checkpointSeconds;
  }

  async #saveCheckpoint(): Promise<Checkpoint> {
    await this.#settle(0);
    return this.#record(this.#position(await this.#readState()));
  }

  async #record(checkpoint: Checkpoint): Promise<Checkpoint> {
    await this.#options.recorder.checkpoint(checkpoint);
    this.#lastCheckpoint = performance.now();
    return checkpoint;
  }

  #position(state: TaskState): Checkpoint {
    const running = { ...this.#running };
    return { state, epoch: this.#epoch, batch: this.#batch, running, bestValidation: this.#bestValidation };
  }

  async #readState(): Promise<TaskState> {
    const state = await this.#session.readState();
    if (state.step !== this.#step) {
      throw new Error(`the engine is at step ${state.step}, the loop at step ${this.#step}`);
    }
    requireFiniteState(state);
    return state;
  }
}

/** Per cent of the mask bits that are off. */
function shareOff(state: TaskState, { graph, method }: TrainingPlan): number {
  const masks: Record<string, Uint8Array> = {};
  for (const { name, group } of taskTensors(graph, method)) {
    if (group === 'masks')
      masks[name.slice(0, -'.scores'.length)] = binarize(state.tensors[name], method.mask!);
  }
  return maskShares({ graph, masks }).total.shareOff;
}

const noMetrics = (): RunningMetrics => ({ lossSum: 0, correct: 0, images: 0, batches: 0 });
