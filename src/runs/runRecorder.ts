import type { ParameterGroup } from '../adaption/method.js';
import type { Checkpoint, EpochRecord, Recorder, StepRecord } from '../training/recorder.js';
import { type CheckpointContext, writeCheckpoint } from './checkpointFile.js';
import { EventFile } from './eventFile.js';
import { MetricsLog } from './metricsLog.js';
import type { RunFolder } from './runFolder.js';

export interface RunRecorderOptions {
  readonly folder: RunFolder;
  /** Groups whose learning rates are worth recording. */
  readonly groups: readonly ParameterGroup[];
  /** Steps already recorded, and the length of metrics.jsonl then; 0 for a fresh run. */
  readonly stepsDone: number;
  readonly metricsBytes: number;
  /** Seconds of training before this start. */
  readonly secondsDone: number;
  readonly context: Omit<CheckpointContext, 'metricsBytes' | 'trainingSeconds'>;
  /** Told after a record is written. */
  readonly onStep?: (record: StepRecord) => void;
  readonly onEpoch?: (record: EpochRecord) => void;
}

/** Writes metrics.jsonl, TensorBoard events and checkpoints. Steps and epochs count from 1 in these files. */
export class RunRecorder implements Recorder {
  readonly #options: RunRecorderOptions;
  readonly #metrics: MetricsLog;
  readonly #events: EventFile;
  readonly #start = performance.now();

  constructor(options: RunRecorderOptions) {
    this.#options = options;
    const { folder, stepsDone, metricsBytes } = options;
    this.#metrics = new MetricsLog(folder.metrics, metricsBytes);
    // Records count steps from 1: what was recorded up to stepsDone stays.
    this.#events = new EventFile(folder.path, stepsDone === 0 ? 0 : stepsDone + 1);
  }

  /** Seconds of training over all starts. */
  get trainingSeconds(): number {
    return this.#options.secondsDone + (performance.now() - this.#start) / 1000;
  }

  step(record: StepRecord): void {
    const { step, epoch, loss, accuracy } = record;
    const rates = this.#options.groups.map((group) => [group, record.learningRates[group]] as const);
    const learningRates = Object.fromEntries(rates);
    this.#metrics.append({ kind: 'step', step: step + 1, epoch: epoch + 1, loss, accuracy, learningRates });
    this.#events.scalars(step + 1, {
      'train/loss': loss,
      'train/accuracy': accuracy,
      ...Object.fromEntries(rates.map(([group, rate]) => [`learningRate/${group}`, rate])),
    });
    this.#options.onStep?.(record);
  }

  epoch(record: EpochRecord): void {
    const { epoch, steps, loss, accuracy, shareOff, validation } = record;
    this.#metrics.append({
      kind: 'epoch',
      epoch: epoch + 1,
      step: steps,
      loss,
      accuracy,
      shareOff,
      validation,
    });
    this.#events.scalars(steps, {
      'epoch/loss': loss,
      'epoch/accuracy': accuracy,
      'masks/shareOff': shareOff,
      ...(validation && { 'validation/loss': validation.loss, 'validation/accuracy': validation.accuracy }),
    });
    this.#options.onEpoch?.(record);
  }

  /** The test split's, after the last epoch. */
  test(step: number, result: { loss: number; accuracy: number }): void {
    const { loss, accuracy } = result;
    this.#metrics.append({ kind: 'test', step, loss, accuracy });
    this.#events.scalars(step, { 'test/loss': loss, 'test/accuracy': accuracy });
    this.#metrics.sync();
  }

  async checkpoint(checkpoint: Checkpoint): Promise<void> {
    this.#metrics.sync();
    const { context, folder } = this.#options;
    const { trainingSeconds } = this;
    await writeCheckpoint(folder.checkpoint, checkpoint, {
      ...context,
      metricsBytes: this.#metrics.bytes,
      trainingSeconds,
    });
  }

  close(): void {
    this.#metrics.close();
    this.#events.close();
  }
}
