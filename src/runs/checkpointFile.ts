/** @file checkpoint.safetensors: a task state (`tensors.<name>`, `moments.<name>`) and where in the run it was taken. */
import { z } from 'zod';
import { momentNames, type TaskState, taskTensors } from '../adaption/parameters.js';
import type { EngineName, TrainingPlan } from '../engines/engine.js';
import { UserError, withHint } from '../errors.js';
import type { Tensor } from '../model/dtype.js';
import {
  readSafetensors,
  readSafetensorsMetadata,
  type Safetensors,
  writeSafetensors,
} from '../model/safetensors.js';
import type { Checkpoint } from '../training/recorder.js';

const FORMAT = 'xbm-checkpoint-2';
const START_ANEW = 'Train again from the start with --force.';

const count = z.int().min(0);
const schema = z.strictObject({
  step: count,
  epoch: count,
  batch: count,
  running: z.strictObject({ lossSum: z.number(), correct: count, images: count, batches: count }),
  bestValidation: z.strictObject({ accuracy: z.number(), epoch: count }).nullable(),
  metricsBytes: count,
  trainingSeconds: z.number().min(0),
  engine: z.enum(['tfjs', 'onnx', 'native', 'webgpu']),
  configHash: z.string(),
  backboneSha256: z.string(),
  trainImagesHash: z.string(),
});

/** What a run folder keeps with a checkpoint. */
export interface CheckpointContext {
  /** Length of metrics.jsonl. */
  readonly metricsBytes: number;
  /** Time spent training so far, over all starts. */
  readonly trainingSeconds: number;
  readonly engine: EngineName;
  readonly configHash: string;
  readonly backboneSha256: string;
  /** Of the training images: names, labels and pixels, in order. */
  readonly trainImagesHash: string;
}

export interface StoredCheckpoint extends CheckpointContext {
  readonly checkpoint: Checkpoint;
}

/** Replaces the checkpoint in one atomic step: a full disk or a crash leaves the old one. */
export async function writeCheckpoint(
  path: string,
  checkpoint: Checkpoint,
  context: CheckpointContext,
): Promise<void> {
  const { state, ...position } = checkpoint;
  const tensors: Record<string, Tensor> = {};
  const add = (prefix: string, values: Record<string, Float32Array>) => {
    for (const [name, data] of Object.entries(values))
      tensors[`${prefix}.${name}`] = { dtype: 'F32', shape: [data.length], data };
  };
  add('tensors', state.tensors);
  add('moments', state.moments);
  const where = { step: state.step, ...position, ...context };
  await writeSafetensors(path, tensors, { format: FORMAT, position: JSON.stringify(where) });
}

/**
 * Reads a checkpoint of the run that `plan` describes.
 * @throws UserError when the file is damaged or belongs to another experiment
 */
export async function readCheckpoint(
  path: string,
  plan: Pick<TrainingPlan, 'graph' | 'method' | 'optimizer'>,
): Promise<StoredCheckpoint> {
  const file = await withHint(START_ANEW, readSafetensors(path));
  const { step, epoch, batch, running, bestValidation, ...context } = parsePosition(path, file.metadata);
  const state: TaskState = { step, tensors: {}, moments: {} };
  for (const { name, shape, role } of taskTensors(plan.graph, plan.method)) {
    const size = shape.reduce((a, b) => a * b, 1);
    state.tensors[name] = floats(file, `tensors.${name}`, size);
    if (role !== 'trained') continue;
    for (const moment of momentNames(name, plan.optimizer.kind))
      state.moments[moment] = floats(file, `moments.${moment}`, size);
  }
  return { checkpoint: { state, epoch, batch, running, bestValidation }, ...context };
}

/** How far a run has come. */
export interface Position {
  readonly step: number;
  /** Finished epochs. */
  readonly epoch: number;
}

/** What is kept with a checkpoint, and where it was taken, from its header alone. */
export async function peekCheckpoint(path: string): Promise<CheckpointContext & Position> {
  const metadata = await withHint(START_ANEW, readSafetensorsMetadata(path));
  const { step, epoch, batch, running, bestValidation, ...context } = parsePosition(path, metadata);
  return { step, epoch, ...context };
}

function parsePosition(path: string, metadata: Readonly<Record<string, string>>): z.infer<typeof schema> {
  const { format } = metadata;
  if (format !== FORMAT) {
    const isOtherVersion = format?.startsWith('xbm-checkpoint-');
    throw damaged(
      path,
      isOtherVersion
        ? `another version of xbm wrote it (${format}; this one reads ${FORMAT})`
        : `metadata "format" is not "${FORMAT}"`,
    );
  }
  let position: unknown;
  try {
    position = JSON.parse(metadata.position);
  } catch {
    throw damaged(path, 'its position is not JSON');
  }
  const result = schema.safeParse(position);
  if (result.success) return result.data;
  const keys = [...new Set(result.error.issues.map((issue) => issue.path.join('.')))].join(', ');
  throw damaged(path, `its position has unusable fields: ${keys}`);
}

function floats(file: Safetensors, name: string, length: number): Float32Array {
  const tensor = file.tensors.get(name);
  if (tensor?.dtype !== 'F32' || tensor.data.length !== length) {
    const found = tensor ? `${tensor.dtype} [${tensor.shape}]` : 'nothing';
    throw damaged(file.path, `tensor "${name}" should be F32 of ${length} elements; found ${found}`);
  }
  const values = tensor.data as Float32Array;
  if (!values.every(Number.isFinite))
    throw damaged(file.path, `tensor "${name}" has values that are not finite`);
  return values;
}

function damaged(path: string, problem: string): UserError {
  return new UserError(`${path}: no usable checkpoint: ${problem}`, START_ANEW);
}
