import { join } from 'node:path';
import type { Command } from 'commander';
import type { Experiment } from '../config/schema.js';
import { ExitCode, UserError } from '../errors.js';
import type { RunSummary } from '../runs/summary.js';
import type { Io } from './io.js';

const TASKS = ['quickdraw', 'sketches'];
const METHODS = ['classifier', 'xbm', 'piggyback', 'finetune'];

interface QuickstartArguments {
  readonly force?: boolean;
  readonly json?: boolean;
}

/** One line of the table and of results/quickstart/summary.json. */
export interface QuickstartRow {
  readonly task: string;
  readonly method: string;
  /** Top-1 on the test images, per cent. */
  readonly accuracy: number;
  /** Of the mask bits, per cent; null without masks. */
  readonly shareOff: number | null;
  readonly maskBytes: number;
  readonly taskBytes: number;
  readonly classes: number;
  readonly trainImages: number;
  readonly testImages: number;
  readonly epochs: number;
  /** Training and evaluation. */
  readonly seconds: number;
}

/** `xbm quickstart`. */
export function registerQuickstart(program: Command, io: Io): void {
  program
    .command('quickstart')
    .description('adapt the embedded backbone to two embedded tasks with every method; about a minute')
    .option('--force', 'train again what an earlier quickstart has finished')
    .option('--json', 'print the result as one JSON document')
    .addHelpText('after', '\nExamples:\n  xbm quickstart\n  xbm quickstart --force --json\n')
    .action((args: QuickstartArguments) => quickstart(args, io));
}

async function quickstart(args: QuickstartArguments, io: Io): Promise<void> {
  const { loadExperiment } = await import('../config/load.js');
  const { packageRoot } = await import('../paths.js');
  const { replaceFile } = await import('../model/replaceFile.js');
  const { formatTable } = await import('./table.js');
  const folder = join(io.cwd, 'results', 'quickstart');
  const rows: QuickstartRow[] = [];
  for (const task of TASKS) {
    for (const method of METHODS) {
      const config = join(packageRoot(), 'configs', 'quickstart', `${task}-${method}.yaml`);
      rows.push(await runOne(loadExperiment({ config, overrides: [], cwd: io.cwd }), folder, args, io));
    }
  }
  const path = join(folder, 'summary.json');
  await replaceFile(path, [Buffer.from(`${JSON.stringify({ rows }, null, 2)}\n`)]);
  if (args.json) {
    io.stdout(`${JSON.stringify({ rows, summary: path })}\n`);
    return;
  }
  const cells = rows.map((row) => [
    row.task,
    row.method,
    row.accuracy.toFixed(1),
    row.shareOff === null ? '–' : row.shareOff.toFixed(1),
    row.maskBytes === 0 ? '–' : String(row.maskBytes),
    row.seconds.toFixed(1),
  ]);
  io.stdout(formatTable(['task', 'method', 'accuracy %', 'off %', 'mask bytes', 'seconds'], cells));
  io.stdout(`\n${path}\n`);
}

/** Trains one experiment in its folder, or takes the result that is there. */
async function runOne(
  experiment: Experiment,
  parent: string,
  args: QuickstartArguments,
  io: Io,
): Promise<QuickstartRow> {
  const { configHash } = await import('../config/hash.js');
  const { RunFolder, runName } = await import('../runs/runFolder.js');
  const { openForRun } = await import('./openForRun.js');
  const { runWithProgress } = await import('./runWithProgress.js');
  const folder = new RunFolder(join(parent, 'runs', runName(experiment, configHash(experiment))));
  const lock = folder.lock();
  try {
    if (!args.force && folder.status === 'finished') return row(folder.readSummary(), folder.readTimings());
    const resume = !args.force && folder.status === 'unfinished';
    const result = await runWithProgress(
      folder,
      resume,
      (engine) => openForRun(experiment, { engine }, io),
      io,
    );
    if (!result.finished) {
      throw new UserError(
        `interrupted; finished runs are kept in ${parent}`,
        'The same command continues.',
        ExitCode.interrupted,
      );
    }
    return row(result.summary, result.timings);
  } finally {
    lock.release();
  }
}

function row(
  summary: RunSummary,
  timings: { trainingSeconds: number; evaluationSeconds: number },
): QuickstartRow {
  const { accuracy, classes, epochs, maskBytes, method, taskBytes, testImages, trainImages } = summary;
  return {
    task: summary.name ?? summary.task,
    method,
    accuracy,
    shareOff: summary.maskBits > 0 ? summary.shareOff : null,
    maskBytes,
    taskBytes,
    classes,
    trainImages,
    testImages,
    epochs,
    seconds: timings.trainingSeconds + timings.evaluationSeconds,
  };
}
