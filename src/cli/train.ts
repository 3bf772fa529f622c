import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Experiment } from '../config/schema.js';
import { UserError } from '../errors.js';
import type { RunFolder } from '../runs/runFolder.js';
import type { RunSummary, RunTimings } from '../runs/summary.js';
import { type ExperimentArguments, experimentOptions, loadExperimentFrom } from './experiment.js';
import { formatBytes, formatDuration, formatNumber } from './format.js';
import { noteIdleSettings } from './idleSettings.js';
import type { Io } from './io.js';
import { openForRun } from './openForRun.js';
import { runWithProgress } from './runWithProgress.js';
import { requireOneStart, startsFromCheckpoint } from './startOptions.js';
import { formatTable } from './table.js';

interface TrainArguments extends ExperimentArguments {
  readonly resume?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
  readonly out?: string;
}

/** `xbm train`. */
export function registerTrain(program: Command, io: Io): void {
  experimentOptions(program.command('train'))
    .description('adapt a frozen backbone to a task, and measure it on the test split')
    .option('--resume', 'continue from the last checkpoint; ends in the same bits as an uninterrupted run')
    .option('--force', 'train from the start even if the run folder holds a run')
    .option('--out <folder>', 'run folder (default: results/runs/<task>-<method>-<hash>-s<seed>)')
    .option('--json', 'print the result as one JSON document')
    .addHelpText(
      'after',
      `
A run can be stopped at any moment; --resume continues it. A finished run is not trained again: its result is
printed, as long as the backbone and the images are those it was trained on; --force trains it anew.

Examples:
  xbm train --task cubs
  xbm train --task flowers --method piggyback --set data.root=~/flowers --set training.imageSize=96
  xbm train my-experiment.yaml --resume --json
`,
    )
    .action(async (config: string | undefined, args: TrainArguments) => {
      requireOneStart(args);
      const experiment = await loadExperimentFrom(config, args, io);
      await noteIdleSettings(experiment, args.set ?? [], io);
      await trainCommand(experiment, args, io);
    });
}

async function trainCommand(experiment: Experiment, args: TrainArguments, io: Io): Promise<void> {
  const { configHash } = await import('../config/hash.js');
  const { RunFolder, runName, runsFolder } = await import('../runs/runFolder.js');
  const hash = configHash(experiment);
  const path = args.out ? resolve(io.cwd, args.out) : resolve(runsFolder(io.cwd), runName(experiment, hash));
  const folder = new RunFolder(path);
  const lock = folder.lock();
  try {
    if (!args.force && folder.status === 'finished') {
      return await reportFinished(folder, experiment, hash, args, io);
    }
    if (!args.force && folder.status === 'absent') folder.requireOwn();
    const resume = startsFromCheckpoint(folder, args, io);
    const result = await runWithProgress(
      folder,
      resume,
      (checkpoint) => openForRun(experiment, { checkpoint }, io),
      io,
    );
    report(path, result.summary, result.timings, args, io);
  } finally {
    lock.release();
  }
}

async function reportFinished(
  folder: RunFolder,
  experiment: Experiment,
  hash: string,
  args: TrainArguments,
  io: Io,
): Promise<void> {
  const summary = folder.readComplete();
  if (summary.configHash !== hash) {
    throw new UserError(
      `${folder.path}: holds a finished run of another experiment (${summary.configHash.slice(0, 8)}, not ${hash.slice(0, 8)})`,
      'Choose another --out, or add --force to replace it.',
    );
  }
  await folder.readTask();
  const { InputGuard } = await import('./inputGuard.js');
  const unchecked = await new InputGuard(io).check(folder, summary, experiment);
  if (unchecked.images) await requireSameRoot(folder, experiment, io);
  for (const what of Object.values(unchecked)) io.stderr(`${folder.path}: ${what}\n`);
  io.stderr(`${folder.path}: this run is finished; --force trains it anew\n`);
  report(folder.path, summary, null, args, io);
}

/** The images of an unnamed task `folder` that cannot be compared are known by their place alone. */
async function requireSameRoot(folder: RunFolder, { task, name, data }: Experiment, io: Io): Promise<void> {
  if (task !== 'folder' || name !== null) return;
  const { loadExperiment } = await import('../config/load.js');
  const trained = loadExperiment({ config: folder.config, cwd: io.cwd });
  if (trained.data.root === data.root) return;
  throw new UserError(
    `${folder.path}: holds a finished run on the images of ${trained.data.root ?? '$XBM_DATA'}, not ${data.root ?? '$XBM_DATA'}`,
    'Name the experiment (--set name=…), choose another --out, or add --force to replace it.',
  );
}

function report(
  path: string,
  summary: RunSummary,
  timings: RunTimings | null,
  args: TrainArguments,
  io: Io,
): void {
  if (args.json) {
    io.stdout(`${JSON.stringify({ ...summary, folder: path, timings })}\n`);
    return;
  }
  const masked = summary.maskBits > 0;
  const { levels } = summary;
  const rows = [
    ['task', summary.name ?? summary.task],
    ['method', summary.method],
    ['accuracy', `${summary.accuracy.toFixed(2)} % of ${summary.testImages} test images`],
    ...(masked
      ? [['switched off', `${summary.shareOff.toFixed(2)} % of ${summary.maskBits} mask bits`]]
      : []),
    ...(masked ? [['masks', formatBytes(summary.maskBytes)]] : []),
    ...(levels ? [['other levels', `${percentOf(levels)} % of ${levels.weights} weights`]] : []),
    ['task file', formatBytes(summary.taskBytes)],
    ...(timings ? [['training', trainingTime(timings)]] : []),
    ['folder', path],
  ];
  io.stdout(formatTable(['', ''], rows).split('\n').slice(2).join('\n'));
  if (levels && levels.changed < MOVED * levels.weights)
    io.stderr(
      `Note: nearly all weights have kept their levels, so what was learned is batch norm and the head. Weights want a learning rate ` +
        `that goes with the width of a level, which \`xbm backbone info\` prints: with Adam about a fiftieth of it ` +
        `(--set training.optimizer=adam --set training.learningRate.weights=…)\n`,
    );
}

/** Of the weights: with fewer on other levels a fine-tuned network is the backbone. */
const MOVED = 0.001;

const percentOf = ({ changed, weights }: { changed: number; weights: number }): string =>
  ((100 * changed) / weights).toFixed(2);

function trainingTime({ trainingSeconds, trainingImagesPerSecond }: RunTimings): string {
  return `${formatDuration(trainingSeconds)}, ${formatNumber(trainingImagesPerSecond)} images/s`;
}
