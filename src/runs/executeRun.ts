/** @file One run from its inputs to its folder: train or resume, keep the task, measure it, write the summary. */
import { existsSync, rmSync, statSync } from 'node:fs';
import { taskTensors } from '../adaption/parameters.js';
import { foldIntoBackbone, taskFromState } from '../adaption/task.js';
import type { TrainingPlan } from '../engines/engine.js';
import { UserError } from '../errors.js';
import { replaceFile, StorageError } from '../model/replaceFile.js';
import { evaluate } from '../training/evaluate.js';
import { scheduleOf, trainingPlan } from '../training/plan.js';
import { type TrainingOutcome, train } from '../training/trainer.js';
import type { StoredCheckpoint } from './checkpointFile.js';
import { describeStart, readStarts } from './environment.js';
import { finishTask, summarize } from './finishRun.js';
import { contextOf, resumable } from './resume.js';
import type { RunFolder } from './runFolder.js';
import { originOf, type RunInputs, type RunOptions, type RunResult } from './runInputs.js';
import { RunRecorder } from './runRecorder.js';

export type { RunInputs, RunOptions, RunResult } from './runInputs.js';

/**
 * Trains in a folder that this process has locked.
 * @throws UserError when a guard trips, the checkpoint does not fit or the disk is full; what was written stays intact
 */
export async function executeRun(
  folder: RunFolder,
  inputs: RunInputs,
  options: RunOptions,
): Promise<RunResult> {
  const { experiment, backbone, classes } = inputs;
  const plan = trainingPlan(experiment, backbone, classes.length);
  const stored =
    options.start === 'resume' && existsSync(folder.checkpoint)
      ? await resumable(folder, inputs, plan)
      : null;
  try {
    return await runIn(folder, inputs, options, plan, stored);
  } catch (error) {
    try {
      folder.clearUnlessBegun();
    } catch {
      // What stopped the run says more than why its folder could not be cleared.
    }
    throw error instanceof StorageError ? inRun(folder, error) : error;
  }
}

/** What is saved, and how to go on from it. */
function inRun(folder: RunFolder, error: StorageError): UserError {
  const { code, message, exitCode } = error;
  if (code === 'ENOENT' && !existsSync(folder.path))
    return new UserError(
      `${folder.path}: the run folder was moved or deleted while it was trained in`,
      'Where it was moved, its last checkpoint goes on: --out with its new place, and --resume.',
    );
  if (code === 'ENOENT' || folder.status !== 'unfinished') return error;
  const remedy = code === 'ENOSPC' ? 'Free some space' : 'Raise the limit (`ulimit -f`)';
  return new UserError(message, `${remedy} and go on from the last checkpoint with --resume.`, exitCode);
}

async function runIn(
  folder: RunFolder,
  inputs: RunInputs,
  options: RunOptions,
  plan: TrainingPlan,
  stored: StoredCheckpoint | null,
): Promise<RunResult> {
  const { experiment, loaders } = inputs;
  await openFolder(folder, inputs, stored);
  const totalSteps = experiment.training.epochs * loaders.train.batchesPerEpoch;
  const stepsDone = stored?.checkpoint.state.step ?? 0;
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
    // The task file holds the result; optimiser moments of element masks or weights take hundreds of megabytes.
    rmSync(folder.checkpoint, { force: true });
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

async function openFolder(
  folder: RunFolder,
  inputs: RunInputs,
  stored: StoredCheckpoint | null,
): Promise<void> {
  if (stored) folder.removeLeftovers();
  else folder.clear();
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
              batchSize: plan.batchSize,
              imageSize: plan.imageSize,
            });
            return { loss, accuracy };
          },
    signal: options.signal,
  });
}

const writeJson = (path: string, value: unknown) =>
  replaceFile(path, [Buffer.from(`${JSON.stringify(value, null, 2)}\n`)]);
