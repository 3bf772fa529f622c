import type { Command } from 'commander';
import type { Task } from '../adaption/task.js';
import type { DataSet } from '../data/types.js';
import { UserError } from '../errors.js';
import { makeFolder } from '../folders.js';
import type { Evaluation } from '../training/evaluate.js';
import { withDecodeProgress } from './decodeProgress.js';
import type { Target, TargetArguments } from './evalTarget.js';
import { experimentOptions } from './experiment.js';
import { formatBytes } from './format.js';
import type { Io } from './io.js';
import { openBackbone } from './openBackbone.js';
import { withProgress } from './progress.js';
import { requireWritable } from './selectRun.js';
import { type Cell, formatTable } from './table.js';

interface EvalArguments extends TargetArguments {
  readonly json?: boolean;
}

/** `xbm eval`. */
export function registerEval(program: Command, io: Io): void {
  experimentOptions(program.command('eval'))
    .description('measure a trained task on the test split: accuracy, per class, confusion matrix')
    .option('--run <folder>', 'run folder (default: the newest finished run, of --task if given)')
    .option('--file <file>', 'a task file; its images and settings are those of the config or --task')
    .option('--backbone <file>', 'the backbone it belongs to: a file or a name in the store')
    .option('--out <folder>', 'where confusion.csv and confusion.png go (default: the run folder)')
    .option('--json', 'print the result as one JSON document')
    .addHelpText(
      'after',
      `
It measures the newest finished run, of --task if given. A config, or --method beside --task, names the run that
\`xbm train\` leaves with the same arguments.

Examples:
  xbm eval
  xbm eval --task flowers
  xbm eval my-experiment.yaml --set training.seed=1
  xbm eval --run results/runs/flowers-xbm-0a1b2c3d-s0 --json
  xbm eval --file task.safetensors --backbone resnet50-imagenet --task flowers --set data.root=~/flowers
`,
    )
    .action(async (config: string | undefined, args: EvalArguments) => evalCommand(config, args, io));
}

async function evalCommand(config: string | undefined, args: EvalArguments, io: Io): Promise<void> {
  const { readTaskFile } = await import('../adaption/taskFile.js');
  const { findTarget } = await import('./evalTarget.js');
  const target = await findTarget(config, args, io);
  if (target.out) {
    makeFolder(target.out);
    requireWritable(target.out);
  }
  const task = await readTaskFile(target.file);
  if (target.summary) {
    const { requireTaskOf } = await import('../runs/runFolder.js');
    requireTaskOf(target.summary, task, target.file);
  }
  const { openExperimentData } = await import('../runs/openExperiment.js');
  const dataSet = await openExperimentData(target.experiment, io.env);
  requireClasses(target.file, task, dataSet);
  const { evaluation, imagesHash } = await measure(target, task, dataSet, io);
  const then = target.summary?.testImagesHash;
  const isTestSet = then === undefined ? null : imagesHash === then;
  let files: ConfusionFiles | null = null;
  try {
    if (target.out) files = await writeFiles(target.out, evaluation, task.classes);
  } finally {
    // A full disk or a folder that turns out not to be writable does not withhold what was measured.
    await report({ target, task, evaluation, isTestSet, files }, args, io);
  }
}

function requireClasses(file: string, task: Task, dataSet: DataSet): void {
  const { classes } = dataSet;
  const differs = Math.max(task.classes.length, classes.length);
  for (let i = 0; i < differs; i++) {
    if (task.classes[i] === classes[i]) continue;
    throw new UserError(
      `${file}: its class ${i} is ${quote(task.classes[i])}, but that of ${dataSet.root} is ${quote(classes[i])}`,
      'Evaluate a task on the data set it was trained on (data.root).',
    );
  }
}

const quote = (name: string | undefined) => (name === undefined ? 'missing' : `"${name}"`);

async function measure(target: Target, task: Task, dataSet: DataSet, io: Io) {
  const { openExperimentEngine, openSplit } = await import('../runs/openExperiment.js');
  const { foldIntoBackbone } = await import('../adaption/task.js');
  const { evaluate } = await import('../training/evaluate.js');
  const { findBackbone } = await import('../runs/findBackbone.js');
  const { imageSize } = task;
  const training = { ...target.experiment.training, imageSize };
  const experiment = { ...target.experiment, training };
  const { engine, why } = await openExperimentEngine(experiment);
  io.stderr(`engine ${engine.name}: ${engine.device} (${why})\n`);
  const found = target.backboneIsNamed
    ? null
    : await findBackbone(experiment.backbone.weights, task.backboneSha256);
  const backbone = found ?? (await openBackbone(experiment, dataSet, engine, io));
  const network = foldIntoBackbone(task, backbone);
  const loader = await withDecodeProgress(io, dataSet.test.length, (onDecode) =>
    openSplit(experiment, dataSet, 'test', { onDecode, signal: io.signal }),
  );
  try {
    const { batchSize } = training;
    const total = loader.samples.length;
    const { signal } = io;
    const evaluation = await withProgress(io, { label: 'testing', unit: 'images', total }, (progress) =>
      evaluate({
        engine,
        network,
        loader,
        batchSize,
        imageSize,
        signal,
        onProgress: (images) => progress.update(images),
      }),
    );
    return { evaluation, imagesHash: loader.imagesHash };
  } finally {
    await loader.close();
  }
}

interface ConfusionFiles {
  readonly csv: string;
  readonly png: string;
}

async function writeFiles(
  folder: string,
  evaluation: Evaluation,
  classes: readonly string[],
): Promise<ConfusionFiles> {
  const { confusionCsv, confusionPicture } = await import('../runs/confusion.js');
  const { RunFolder } = await import('../runs/runFolder.js');
  const { writePng } = await import('../runs/picture.js');
  const { replaceFile } = await import('../model/replaceFile.js');
  const { confusionTable: csv, confusionPicture: png } = new RunFolder(folder);
  await replaceFile(csv, [Buffer.from(confusionCsv(evaluation, classes))]);
  await writePng(png, confusionPicture(evaluation));
  return { csv, png };
}

interface Measured {
  readonly target: Target;
  readonly task: Task;
  readonly evaluation: Evaluation;
  /** Whether the images are those that the run was tested on; null: not known. */
  readonly isTestSet: boolean | null;
  /** null: nowhere asked for, or they could not be written. */
  readonly files: ConfusionFiles | null;
}

async function report(
  { target, task, evaluation, isTestSet, files }: Measured,
  args: EvalArguments,
  io: Io,
): Promise<void> {
  const { maskShares } = await import('../adaption/task.js');
  const { maskBytes } = await import('../adaption/taskFile.js');
  const { perClassAccuracy } = await import('../training/evaluate.js');
  const { accuracy, loss, images, correct, confusion, classes } = evaluation;
  const perClass = perClassAccuracy(evaluation).map((share, label) => ({
    class: task.classes[label],
    images: confusion.subarray(label * classes, (label + 1) * classes).reduce((sum, count) => sum + count, 0),
    accuracy: share,
  }));
  const { total } = maskShares(task);
  if (isTestSet === false) {
    io.stderr(
      'Note: these are not the images that the run was tested on (other files, labels or pixels): its accuracy does not compare, ' +
        'and images it was trained on may be among them\n',
    );
  }
  if (args.json) {
    const { task: name } = target.experiment;
    const result = { task: name, method: task.method.name, accuracy, loss, images, correct, isTestSet };
    const masks = { shareOff: total.shareOff, maskBits: total.bits, maskBytes: maskBytes(task) };
    io.stdout(`${JSON.stringify({ ...result, ...masks, file: target.file, perClass, confusion: files })}\n`);
    return;
  }
  const rows = perClass.map((row): Cell[] => [
    row.class,
    row.images,
    row.accuracy === null ? null : row.accuracy.toFixed(1),
  ]);
  io.stdout(`${formatTable(['class', 'images', 'accuracy %'], rows)}\n`);
  io.stdout(`${target.file}\n${accuracy.toFixed(2)} % of ${images} test images\n`);
  if (total.bits > 0) {
    io.stdout(
      `${total.shareOff.toFixed(2)} % of ${total.bits} mask bits off, ${formatBytes(maskBytes(task))} of masks\n`,
    );
  }
  if (files) io.stdout(`confusion matrix: ${files.csv}, ${files.png}\n`);
}
