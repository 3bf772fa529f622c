/** @file What the training loop reports, and to whom: the run folder implements it, tests record in memory. */
import type { TaskState } from '../adaption/parameters.js';
import type { LearningRates } from './schedule.js';

/** One training step. */
export interface StepRecord {
  /** 0-based, over the whole run. */
  readonly step: number;
  /** 0-based. */
  readonly epoch: number;
  /** Mean cross-entropy of the batch, nats. */
  readonly loss: number;
  /** Of the batch, per cent. */
  readonly accuracy: number;
  readonly learningRates: LearningRates;
}

/** One finished epoch: means over its training batches, and the validation split when there is one. */
export interface EpochRecord {
  /** 0-based. */
  readonly epoch: number;
  /** Steps done since the start of the run. */
  readonly steps: number;
  readonly loss: number;
  /** Per cent. */
  readonly accuracy: number;
  /** Of the mask bits, per cent; 0 for methods without masks. */
  readonly shareOff: number;
  readonly validation: { readonly loss: number; readonly accuracy: number } | null;
}

/** Sums over the batches of the epoch in progress. */
export interface RunningMetrics {
  lossSum: number;
  correct: number;
  images: number;
  batches: number;
}

/** A point between two steps from which training continues exactly. */
export interface Checkpoint {
  readonly state: TaskState;
  /** The epoch to continue, 0-based. */
  readonly epoch: number;
  /** Its next batch. */
  readonly batch: number;
  readonly running: Readonly<RunningMetrics>;
  /** Best validation accuracy so far, per cent; null without a validation split. */
  readonly bestValidation: BestValidation | null;
}

export interface BestValidation {
  /** Per cent. */
  readonly accuracy: number;
  /** 0-based. */
  readonly epoch: number;
}

/** Receives records in order; everything reported before `checkpoint` belongs to it. */
export interface Recorder {
  step(record: StepRecord): void;
  epoch(record: EpochRecord): void;
  checkpoint(checkpoint: Checkpoint): Promise<void>;
}
