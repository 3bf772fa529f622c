import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Experiment } from '../config/schema.js';
import type { DataSet } from '../data/types.js';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import type { FinishedBackbone } from '../runs/finishBackbone.js';
import type { RunFolder } from '../runs/runFolder.js';
import { type ExperimentArguments, experimentOptions, loadExperimentFrom } from './experiment.js';
import type { Io } from './io.js';
import { openForRun } from './openForRun.js';
import { storeName } from './options.js';
import { withProgress } from './progress.js';
import { runWithProgress } from './runWithProgress.js';
import { requireOneStart, startsFromCheckpoint } from './startOptions.js';

interface BackboneTrainArguments extends ExperimentArguments {
  readonly name?: string;
  readonly out?: string;
  readonly calibrationImages: number;
  readonly resume?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

const TAKEN = 'Choose another --name or --out, or add --force to replace it.';

/** `xbm backbone train`, below `xbm backbone`. */
export function registerBackboneTrain(backbone: Command, io: Io): void {
  experimentOptions(backbone.command('train'))
    .description('train a backbone from random weights, quantise it and put it in the store')
    .option('--name <name>', 'its name in the store (default: <experiment name>-<network>)', storeName)
    .option('--out <file>', 'a file instead of the store')
    .option('--calibration-images <count>', 'training images that quantisation looks at', positive, 512)
    .option('--resume', 'continue from the last checkpoint')
    .option('--force', 'train from the start, and replace the backbone of that name')
    .option('--json', 'print the result as one JSON document')
    .addHelpText(
      'after',
      `
Without a config it is the packaged one, pretrain: CIFAR-style ResNet-20, SGD, 40 epochs at 32 pixels.

Examples:
  xbm backbone train --set data.root=~/cifar10 --name cifar10-resnet20
  xbm backbone train pretrain --set backbone.network=cifar-resnet32 --set training.epochs=100
`,
    )
    .action(async (config: string | undefined, args: BackboneTrainArguments) => {
      requireOneStart(args);
      const named = config ?? (args.task === undefined ? 'pretrain' : undefined);
      const { pretrainingExperiment } = await import('../training/pretrain.js');
      const experiment = await loadExperimentFrom(named, args, io);
      await trainBackbone(experiment, pretrainingExperiment(experiment), args, io);
    });
}

/**
 * @param target how the finished backbone is quantised
 * @param float what is trained
 */
async function trainBackbone(
  target: Experiment,
  float: Experiment,
  args: BackboneTrainArguments,
  io: Io,
): Promise<void> {
  const { configHash } = await import('../config/hash.js');
  const { RunFolder, runName, runsFolder } = await import('../runs/runFolder.js');
  const path = await outputPath(target, args, io);
  const run = new RunFolder(join(runsFolder(io.cwd), 'backbones', runName(float, configHash(float))));
  const lock = run.lock();
  try {
    if (args.force || run.status !== 'finished') await trainFloat(run, float, args, io);
    else {
      const { InputGuard } = await import('./inputGuard.js');
      const { images } = await new InputGuard(io).check(run, run.readSummary(), float, true);
      if (images) io.stderr(`${run.path}: ${images}\n`);
      io.stderr(`${run.path}: trained already; --force trains it anew\n`);
    }
    const { backbone, float: before, quantized } = await quantize(path, run, target, args, io);
    const { weightBits, activationBits } = backbone;
    if (args.json) {
      const accuracies = {
        floatAccuracy: before.accuracy,
        accuracy: quantized.accuracy,
        images: quantized.images,
      };
      const { sha256, graph } = backbone;
      const result = { file: path, sha256, network: graph.network, weightBits, activationBits };
      io.stdout(`${JSON.stringify({ ...result, ...accuracies, run: run.path })}\n`);
      return;
    }
    io.stdout(`${path}\n`);
    io.stdout(`full precision: ${before.accuracy.toFixed(2)} % of ${quantized.images} test images\n`);
    const bits = `${weightBits}-bit weights, ${activationBits}-bit activations`;
    io.stdout(`${bits}: ${quantized.accuracy.toFixed(2)} %\n`);
  } finally {
    lock.release();
  }
}

async function trainFloat(
  run: RunFolder,
  float: Experiment,
  args: BackboneTrainArguments,
  io: Io,
): Promise<void> {
  const resume = startsFromCheckpoint(run, args, io);
  const start = await startOf(float);
  await runWithProgress(
    run,
    resume,
    (checkpoint) => openForRun(float, { checkpoint, backbone: start }, io),
    io,
  );
}

async function quantize(
  path: string,
  run: RunFolder,
  target: Experiment,
  args: BackboneTrainArguments,
  io: Io,
): Promise<FinishedBackbone> {
  const { openExperimentData, openExperimentEngine } = await import('../runs/openExperiment.js');
  const { finishBackbone } = await import('../runs/finishBackbone.js');
  const { noteFewImages } = await import('./backboneCalibration.js');
  const dataSet = await openExperimentData(target, io.env);
  const { weightBits, activationBits } = target.backbone;
  const images = Math.min(args.calibrationImages, dataSet.officialTrain.length);
  if (weightBits < 32 || activationBits < 32) noteFewImages(images, io);
  const { engine } = await openExperimentEngine(target);
  const start = (await startOf(target))(dataSet);
  const { signal } = io;
  return withProgress(io, { label: 'quantising', unit: 'steps', total: 0 }, (progress) =>
    finishBackbone(path, {
      experiment: target,
      run,
      start,
      dataSet,
      engine,
      calibrationImages: args.calibrationImages,
      hintIfThere: args.force ? undefined : TAKEN,
      signal,
      onCalibration: (done, total) => {
        progress.setTotal(total);
        progress.update(done);
      },
    }),
  );
}

/** Random weights for the classes of a data set. */
async function startOf(experiment: Experiment): Promise<(dataSet: DataSet) => Backbone> {
  const { randomBackbone } = await import('../training/randomBackbone.js');
  const { buildNetwork } = await import('../model/networks.js');
  const { backbone, training } = experiment;
  return ({ classes }) => randomBackbone(buildNetwork(backbone.network, classes.length), training.seed);
}

async function outputPath(target: Experiment, args: BackboneTrainArguments, io: Io): Promise<string> {
  const { backbonePath, makeFolderOf } = await import('../model/store.js');
  if (args.out !== undefined && args.name !== undefined) {
    throw new UserError('--out names a file, --name a place in the store', 'Give one of them.');
  }
  const name = args.name ?? `${target.name ?? target.task}-${target.backbone.network}`;
  const path = args.out === undefined ? backbonePath(name) : resolve(io.cwd, args.out);
  if (existsSync(path) && !args.force) {
    throw new UserError(`${path}: exists already`, TAKEN);
  }
  makeFolderOf(path);
  return path;
}

function positive(text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new UserError(`--calibration-images: expected a positive whole number, found "${text}"`);
}
