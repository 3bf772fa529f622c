/** @file The end of a run: the task file, the guards on it, its accuracy, the summary. */
import { maskBits } from '../adaption/geometry.js';
import { changedLevels, foldIntoBackbone, maskShares, type Task, taskFromState } from '../adaption/task.js';
import { maskBytes, readTaskFile, writeTaskFile } from '../adaption/taskFile.js';
import type { TrainingPlan } from '../engines/engine.js';
import { backboneSha256 } from '../model/hash.js';
import { packageVersion } from '../paths.js';
import { type Evaluation, evaluate } from '../training/evaluate.js';
import { guardError, requireFrozenWeights } from '../training/guards.js';
import type { TrainingOutcome } from '../training/trainer.js';
import type { RunFolder } from './runFolder.js';
import { originOf, type RunInputs, type RunOptions } from './runInputs.js';
import type { RunSummary } from './summary.js';

/** Writes the task, reads it back, checks the guards on what it folds to, and measures exactly that. */
export async function finishTask(
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
    batchSize: plan.batchSize,
    imageSize: plan.imageSize,
    signal,
    onProgress,
  });
  return { task, evaluation };
}

/** What summary.json says. @param taskBytes size of the task file */
export function summarize(
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
  const levels = changedLevels(task, backbone);
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
    trainImagesHash: loaders.train.imagesHash,
    testImagesHash: loaders.test.imagesHash,
    accuracy: evaluation.accuracy,
    loss: evaluation.loss,
    bestValidation: best && { accuracy: best.accuracy, epoch: best.epoch + 1 },
    shareOff: maskShares(task).total.shareOff,
    maskBits: mask ? maskBits(plan.graph, mask) : 0,
    maskBytes: maskBytes(task),
    ...(levels && { levels }),
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
