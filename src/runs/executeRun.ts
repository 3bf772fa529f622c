/** @file One run from its inputs to its folder: train or resume, keep the task, measure it, write the summary. */
import { existsSync, statSync } from 'node:fs';
import { maskBits } from '../adaption/geometry.js';
import { taskTensors } from '../adaption/parameters.js';
import { foldIntoBackbone, maskShares, type Task, type TaskOrigin, taskFromState } from '../adaption/task.js';
import { maskBytes, readTaskFile, writeTaskFile } from '../adaption/taskFile.js';
import type { Experiment } from '../config/schema.js';
import type { BatchLoader } from '../data/types.js';
import type { Engine, TrainingPlan } from '../engines/engine.js';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { backboneSha256 } from '../model/hash.js';
import { replaceFile } from '../model/replaceFile.js';
import { packageVersion } from '../paths.js';
import { type Evaluation, evaluate } from '../training/evaluate.js';
import { guardError, requireFrozenWeights } from '../training/guards.js';
import { scheduleOf, trainingPlan } from '../training/plan.js';
import type { EpochRecord, StepRecord } from '../training/recorder.js';
import { type TrainingOutcome, train } from '../training/trainer.js';
import { samplesHash } from './calibration.js';
import { type CheckpointContext, readCheckpoint, type StoredCheckpoint } from './checkpointFile.js';
import { describeStart, readStarts } from './environment.js';
import type { RunFolder } from './runFolder.js';
import { RunRecorder } from './runRecorder.js';
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
  readonly onStart?: (step: number, totalSteps: number) => void;
  readonly onStep?: (record: StepRecord) => void;
  readonly onEpoch?: (record: EpochRecord) => void;
  readonly onEvaluation?: (images: number, total: number) => void;
}

export type RunResult =
  | { readonly finished: true; readonly summary: RunSummary; readonly timings: RunTimings }
  | { readonly finished: false; readonly steps: number; readonly totalSteps: number };

/**
 * Trains in a folder that this process has locked.
 * @throws UserError when a guard trips, the checkpoint does not fit or the disk is full; what was written stays intact
 */
export async function executeRun(
  folder: RunFolder,
  inputs: RunInputs,
  options: RunOptions,
): Promise<RunResult> {
  const { experiment, backbone, classes, loaders } = inputs;
  const plan = trainingPlan(experiment, backbone, classes.length);
  const stored =
    options.start === 'resume' && existsSync(folder.checkpoint)
      ? await resumable(folder, inputs, plan)
      : null;
  await openFolder(folder, inputs, stored);

  const totalSteps = experiment.training.epochs * loaders.train.batchesPerEpoch;
  const stepsDone = stored?.checkpoint.state.step ?? 0;
  options.onStart?.(stepsDone, totalSteps);
  const groups = taskTensors(plan.graph, plan.method).filter((spec) => spec.role === 'trained');
  const recorder = new RunRecorder({
    folder,
    groups: [...new Set(groups.map((spec) => spec.group))],
    stepsDone,
    metricsBytes: stored?.metricsBytes ?? 0,
    secondsDone: stored?.trainingSeconds ?? 0,
    context: contextOf(inputs),
    onStep: options.onStep,
    onEpoch: options.onEpoch,
  });
  try {
    const outcome = await trainPlan(inputs, options, plan, recorder, stored);
    const { trainingSeconds } = recorder;
    const steps = outcome.checkpoint.state.step;
    if (!outcome.finished) return { finished: false, steps, totalSteps };
    const started = performance.now();
    const measured = await finishTask(folder, inputs, options, plan, outcome).catch(unlessAborted(options));
    if (!measured) return { finished: false, steps, totalSteps };
    const { task, evaluation } = measured;
    const evaluationSeconds = (performance.now() - started) / 1000;
    recorder.test(steps, evaluation);
    const summary = summarize(inputs, plan, outcome, task, evaluation, statSync(folder.task).size);
    const images = steps * experiment.training.batchSize;
    const trainingImagesPerSecond = images / trainingSeconds;
    const timings = { trainingSeconds, evaluationSeconds, trainingImagesPerSecond };
    await writeJson(folder.timings, timings);
    await writeJson(folder.summary, summary);
    return { finished: true, summary, timings };
  } finally {
    recorder.close();
  }
}

/** Stopped while testing: the checkpoint has all of the training. */
function unlessAborted({ signal }: RunOptions): (error: unknown) => null {
  return (error) => {
    if (signal?.aborted) return null;
    throw error;
  };
}

/** @throws UserError when the checkpoint is of another experiment, backbone or engine */
async function resumable(
  folder: RunFolder,
  inputs: RunInputs,
  plan: TrainingPlan,
): Promise<StoredCheckpoint> {
  const stored = await readCheckpoint(folder.checkpoint, plan);
  const refuse = (what: string) =>
    new UserError(
      `${folder.checkpoint}: cannot be resumed: ${what}`,
      'Train again from the start with --force.',
    );
  const now = contextOf(inputs);
  if (stored.configHash !== now.configHash) throw refuse('it is of another experiment');
  if (stored.trainSetHash !== now.trainSetHash) throw refuse('the training images are others now');
  if (stored.backboneSha256 !== now.backboneSha256) {
    throw refuse(`it is of backbone ${stored.backboneSha256}, this one is ${now.backboneSha256}`);
  }
  if (stored.engine !== now.engine) {
    throw refuse(`it was trained with engine ${stored.engine}, this is ${now.engine}`);
  }
  return stored;
}

function contextOf(inputs: RunInputs): Omit<CheckpointContext, 'metricsBytes' | 'trainingSeconds'> {
  const { configHash, backbone, engine, loaders } = inputs;
  const trainSetHash = samplesHash(loaders.train.samples);
  return { engine: engine.name, configHash, backboneSha256: backbone.sha256, trainSetHash };
}

async function openFolder(
  folder: RunFolder,
  inputs: RunInputs,
  stored: StoredCheckpoint | null,
): Promise<void> {
  if (!stored) folder.clear();
  await replaceFile(folder.config, [Buffer.from(inputs.configText)]);
  const start = describeStart(inputs.engine, stored?.checkpoint.state.step ?? 0);
  await writeJson(folder.environment, { starts: [...readStarts(folder.environment), start] });
}

function trainPlan(
  inputs: RunInputs,
  options: RunOptions,
  plan: TrainingPlan,
  recorder: RunRecorder,
  stored: StoredCheckpoint | null,
): Promise<TrainingOutcome> {
  const { engine, loaders, backbone, experiment } = inputs;
  const { training } = experiment;
  const { validation } = loaders;
  const origin = originOf(inputs, plan);
  return train({
    engine,
    plan,
    loader: loaders.train,
    epochs: training.epochs,
    schedule: scheduleOf(training),
    learningRates: training.learningRate,
    checkpointSeconds: 60 * training.checkpointMinutes,
    recorder,
    resume: stored?.checkpoint,
    validate:
      validation === null
        ? undefined
        : async (state) => {
            const network = foldIntoBackbone(taskFromState(state, backbone, origin), backbone);
            const { loss, accuracy } = await evaluate({
              engine,
              network,
              loader: validation,
              ...sizes(plan),
            });
            return { loss, accuracy };
          },
    signal: options.signal,
  });
}

/** Writes the task, reads it back, checks the guards on what it folds to, and measures exactly that. */
async function finishTask(
  folder: RunFolder,
  inputs: RunInputs,
  options: RunOptions,
  plan: TrainingPlan,
  outcome: TrainingOutcome,
): Promise<{ task: Task; evaluation: Evaluation }> {
  const { backbone, engine, loaders } = inputs;
  await writeTaskFile(folder.task, taskFromState(outcome.checkpoint.state, backbone, originOf(inputs, plan)));
  const task = await readTaskFile(folder.task, backbone.graph);
  const network = foldIntoBackbone(task, backbone);
  if (!plan.method.trainWeights) {
    const now = backboneSha256(backbone);
    if (now !== backbone.sha256) {
      throw guardError(
        `the frozen backbone changed during training: SHA-256 ${backbone.sha256} became ${now}`,
        'This is a bug in xbm: please report it.',
      );
    }
    requireFrozenWeights(network, backbone, plan.method, task.masks);
  }
  const { signal, onEvaluation: onProgress } = options;
  const evaluation = await evaluate({
    engine,
    network,
    loader: loaders.test,
    ...sizes(plan),
    signal,
    onProgress,
  });
  return { task, evaluation };
}

function summarize(
  inputs: RunInputs,
  plan: TrainingPlan,
  outcome: TrainingOutcome,
  task: Task,
  evaluation: Evaluation,
  taskBytes: number,
): RunSummary {
  const { experiment, backbone, engine, loaders } = inputs;
  const { mask } = plan.method;
  const best = outcome.checkpoint.bestValidation;
  return {
    task: experiment.task,
    name: experiment.name,
    method: plan.method.name,
    granularity: mask?.granularity ?? null,
    rows: mask?.granularity === 'column' ? mask.rows : null,
    network: backbone.graph.network,
    weightBits: backbone.weightBits,
    activationBits: backbone.activationBits,
    backboneSha256: backbone.sha256,
    accuracy: evaluation.accuracy,
    loss: evaluation.loss,
    bestValidation: best && { accuracy: best.accuracy, epoch: best.epoch + 1 },
    shareOff: maskShares(task).total.shareOff,
    maskBits: mask ? maskBits(plan.graph, mask) : 0,
    maskBytes: maskBytes(task),
    taskBytes,
    classes: inputs.classes.length,
    trainImages: loaders.train.samples.length,
    validationImages: loaders.validation?.samples.length ?? 0,
    testImages: loaders.test.samples.length,
    imageSize: plan.imageSize,
    batchSize: plan.batchSize,
    epochs: experiment.training.epochs,
    steps: outcome.checkpoint.state.step,
    seed: plan.seed,
    engine: engine.name,
    configHash: inputs.configHash,
    programVersion: packageVersion(),
  };
}

function originOf(inputs: RunInputs, plan: TrainingPlan): TaskOrigin {
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

const sizes = ({ batchSize, imageSize }: TrainingPlan) => ({ batchSize, imageSize });

const writeJson = (path: string, value: unknown) =>
  replaceFile(path, [Buffer.from(`${JSON.stringify(value, null, 2)}\n`)]);
