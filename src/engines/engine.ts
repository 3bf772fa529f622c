/** @file The engine seam: who computes a training step. The training loop knows nothing else about an engine. */
import type { FoldedNetwork } from '../adaption/fold.js';
import type { MethodSpec, OptimizerSpec, ParameterGroup } from '../adaption/method.js';
import type { TaskState } from '../adaption/parameters.js';
import type { Batch } from '../data/batch.js';
import type { Backbone } from '../model/backbone.js';
import type { LayerGraph } from '../model/graph.js';

/** What --engine and the key `engine` take. */
export const engineChoices = ['auto', 'native', 'onnx', 'tfjs', 'webgpu'] as const;

export type EngineName = Exclude<(typeof engineChoices)[number], 'auto'>;

export interface TrainingPlan {
  /** The backbone's network with the task's number of classes in its head. */
  readonly graph: LayerGraph;
  readonly backbone: Backbone;
  readonly method: MethodSpec;
  readonly optimizer: OptimizerSpec;
  readonly batchSize: number;
  /** Height and width of a batch's images, pixels. */
  readonly imageSize: number;
  /** Seeds the Gumbel noise. */
  readonly seed: number;
}

export interface InferencePlan {
  readonly network: FoldedNetwork;
  readonly batchSize: number;
  readonly imageSize: number;
  /**
   * Layers whose outputs `predict` returns besides the logits, in real values; calibration reads them. Without any, an
   * engine is free to compute levels in integers.
   */
  readonly taps?: readonly string[];
}

export interface StepMetrics {
  /** Mean cross-entropy over the batch, nats. */
  readonly loss: number;
  /** Images whose largest logit is the label's. */
  readonly correct: number;
}

export interface StepSettings {
  /** 0-based index of this step over the whole run. */
  readonly step: number;
  readonly learningRates: Readonly<Record<ParameterGroup, number>>;
}

export interface TrainingSession {
  /** Resolves when the step is submitted; its metrics resolve later. At most two steps in flight. */
  trainStep(batch: Batch, at: StepSettings): Promise<{ metrics: Promise<StepMetrics> }>;
  /** A copy on the host, after all submitted steps: for checkpoints and masks. */
  readState(): Promise<TaskState>;
  close(): Promise<void>;
}

export interface Prediction {
  /** [batch, classes] */
  readonly logits: Float32Array;
  /** By layer name, [batch, channels, height, width]. */
  readonly taps: Readonly<Record<string, Float32Array>>;
}

export interface InferenceSession {
  predict(batch: Batch): Promise<Prediction>;
  close(): Promise<void>;
}

export interface Engine {
  readonly name: EngineName;
  /** The device in words, for logs and environment.json: "ONNX Runtime 1.30.0, CPU, 2 threads". */
  readonly device: string;
  /** In which precision a training step's gradients are computed; the forward pass is float32 or exact. */
  readonly gradientPrecision: 'float32' | 'fixed16' | 'float16' | 'bfloat16';
  /** Whose inference sessions these are: backbones calibrated by the same are the same. */
  readonly inference: EngineName;
  openTraining(plan: TrainingPlan, state: TaskState): Promise<TrainingSession>;
  openInference(plan: InferencePlan): Promise<InferenceSession>;
}

export interface EngineOptions {
  /** CPU threads an engine may use; 0: as many as there are cores. */
  readonly threads: number;
}

export type EngineProbe =
  | {
      readonly available: true;
      readonly device: string;
      /** Why `auto` passes over it, in words; absent: it does not. */
      readonly passedOver?: string;
    }
  | { readonly available: false; readonly reason: string };

/** One engine as `xbm engines` lists it. Every engine folder's index.ts exports one named `engineEntry`. */
export interface EngineEntry {
  readonly name: EngineName;
  readonly description: string;
  /** Says whether the engine can run here, on what, or why not and what to do about it. Loads no heavy package. */
  probe(): Promise<EngineProbe>;
  create(options: EngineOptions): Promise<Engine>;
}
