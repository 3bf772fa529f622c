/** @file What a run takes and gives. */
import type { TaskOrigin } from '../adaption/task.js';
import type { Experiment } from '../config/schema.js';
import type { BatchLoader } from '../data/types.js';
import type { Engine, TrainingPlan } from '../engines/engine.js';
import type { Backbone } from '../model/backbone.js';
import { packageVersion } from '../paths.js';
import type { EpochRecord, StepRecord } from '../training/recorder.js';
import type { RunSummary, RunTimings } from './summary.js';

export interface RunInputs {
  readonly experiment: Experiment;
  readonly configHash: string;
  /** The resolved experiment as config.yaml keeps it. */
  readonly configText: string;
  readonly backbone: Backbone;
  readonly classes: readonly string[];
  readonly engine: Engine;
  readonly loaders: {
    readonly train: BatchLoader;
    /** null without a validation split. */
    readonly validation: BatchLoader | null;
    readonly test: BatchLoader;
  };
}

export interface RunOptions {
  /** What to do with what the folder holds: `resume` continues its checkpoint, `fresh` starts anew. */
  readonly start: 'fresh' | 'resume';
  readonly signal?: AbortSignal;
  readonly onStep?: (record: StepRecord) => void;
  readonly onEpoch?: (record: EpochRecord) => void;
  readonly onEvaluation?: (images: number, total: number) => void;
}

export type RunResult =
  | { readonly finished: true; readonly summary: RunSummary; readonly timings: RunTimings }
  | { readonly finished: false; readonly steps: number; readonly totalSteps: number };

/** Where the task that this run trains comes from. */
export function originOf(inputs: RunInputs, plan: TrainingPlan): TaskOrigin {
  const { classes, backbone, configHash } = inputs;
  const { method, imageSize } = plan;
  return {
    method,
    classes,
    imageSize,
    backboneSha256: backbone.sha256,
    configHash,
    programVersion: packageVersion(),
  };
}
