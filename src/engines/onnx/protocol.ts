/** @file Messages between an engine session and its worker thread. */
import type { TaskState } from '../../adaption/parameters.js';
import type { Batch } from '../../data/batch.js';
import type { InferencePlan, Prediction, StepMetrics, StepSettings, TrainingPlan } from '../engine.js';

export interface WorkerOptions {
  /** 0: one per core. */
  readonly threads: number;
  /** Folder for ONNX Runtime's profile; none when absent. */
  readonly profile?: string;
  /** Overrides the size below which feature maps are computed in the merged layout; tests cover both layouts. */
  readonly mergedPixels?: number;
  /** Overrides the channels from which on merged 3×3 convolutions are Winograd's. */
  readonly winogradChannels?: number;
}

export type WorkerInput =
  | {
      readonly kind: 'training';
      readonly plan: TrainingPlan;
      readonly state: TaskState;
      readonly options: WorkerOptions;
    }
  | { readonly kind: 'inference'; readonly plan: InferencePlan; readonly options: WorkerOptions };

/** What a session can be asked, and what it answers. */
export interface WorkerCalls {
  /** The first call: resolves when the model is compiled. */
  ready: { argument: null; result: null };
  trainStep: { argument: { batch: Batch; at: StepSettings }; result: StepMetrics };
  readState: { argument: null; result: TaskState };
  predict: { argument: Batch; result: Prediction };
  close: { argument: null; result: null };
}

export type WorkerCall = keyof WorkerCalls;

export interface WorkerRequest<C extends WorkerCall = WorkerCall> {
  readonly id: number;
  readonly call: C;
  readonly argument: WorkerCalls[C]['argument'];
}

export type WorkerResponse =
  | { readonly id: number; readonly result: WorkerCalls[WorkerCall]['result'] }
  | { readonly id: number; readonly error: string };
