import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Experiment } from '../config/schema.js';
import type { DataSet } from '../data/types.js';
import { ExitCode, UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { type ExperimentArguments, experimentOptions, loadExperimentFrom } from './experiment.js';
import type { Io } from './io.js';
import { openForRun } from './openForRun.js';
import { runWithProgress } from './runWithProgress.js';

interface BackboneTrainArguments extends ExperimentArguments {
  readonly name?: string;
  readonly out?: string;
  readonly calibrationImages: string;
  readonly resume?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `xbm backbone train`; comes after the command `backbone`, if there is one. */
export function registerBackboneTrain(program: Command, io: Io): void {
  const backbone =
    program.commands.find((command) => command.name() === 'backbone') ??
    program.command('backbone').description('make and inspect frozen backbones');
  experimentOptions(backbone.command('train'))
    .description('train a backbone from random weights, quantise it and put it in the store')
    .option('--name <name>', 'its name in the store (default: <experiment name>-<network>)')
    .option('--out <file>', 'a file instead of the store')
    .option('--calibration-images <count>', 'training images that set the activation clips', '512')
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
      const named = config ?? (args.task === undefined ? 'pretrain' : undefined);
      const { pretrainingExperiment } = await import('../training/pretrain.js');
      const experiment = await loadExperimentFrom(named, args, io);
      await trainBackbone(experiment, pretrainingExperiment(experiment), args, io);
    });
}

/** @param target bits of the finished backbone; @param float what is trained */
async function trainBackbone(
  target: Experiment,
  float: Experiment,
  args: BackboneTrainArguments,
  io: Io,
): Promise<void> {
  const { configHash } = await import('../config/hash.js');
  const { RunFolder, runName, runsFolder } = await import('../runs/runFolder.js');
  const { randomBackbone } = await import('../training/randomBackbone.js');
  const { buildNetwork } = await import('../model/networks.js');
  const path = await outputPath(target, args, io);
  const folder = new RunFolder(join(runsFolder(io.cwd), 'backbones', runName(float, configHash(float))));
  const start = ({ classes }: Pick<DataSet, 'classes'>): Backbone =>
    randomBackbone(buildNetwork(float.backbone.network, classes.length), float.training.seed);
  const lock = folder.lock();
  try {
    if (args.force || folder.status !== 'finished') {
      if (!args.force && !args.resume && folder.status === 'unfinished') {
        throw new UserError(
          `${folder.path}: holds a pretraining that is not finished`,
          'Add --resume to continue it, or --force to train from the start.',
        );
      }
      const resume = args.resume === true && folder.status === 'unfinished';
      const open = (engine?: Parameters<typeof openForRun>[1]['engine']) =>
        openForRun(float, { engine, backbone: start }, io);
      const result = await runWithProgress(folder, resume, open, io);
      if (!result.finished) {
        throw new UserError(
          `interrupted after step ${result.steps} of ${result.totalSteps}; everything is saved in ${folder.path}`,
          'Continue with the same command and --resume.',
          ExitCode.interrupted,
        );
      }
    }
  } finally {
    lock.release();
  }
}

async function outputPath(target: Experiment, args: BackboneTrainArguments, io: Io): Promise<string> {
  const { backbonePath } = await import('../model/store.js');
  if (args.out !== undefined && args.name !== undefined) {
    throw new UserError('--out names a file, --name a place in the store', 'Give one of them.');
  }
  const name = args.name ?? `${target.name ?? target.task}-${target.backbone.network}`;
  const path = args.out === undefined ? backbonePath(name) : resolve(io.cwd, args.out);
  if (existsSync(path) && !args.force) {
    throw new UserError(
      `${path}: exists already`,
      'Choose another --name or --out, or add --force to replace it.',
    );
  }
  return path;
}
