import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { Experiment } from '../config/schema.js';
import type { DataSet, Split } from '../data/types.js';
import type { Io } from './io.js';
import { requireEnding } from './options.js';

/** Options of every command that opens a data set. */
interface DataArguments {
  readonly root?: string;
  readonly set?: readonly string[];
  readonly json?: boolean;
}

/** `xbm data list | prepare | verify | show`. */
export function registerData(program: Command, io: Io): void {
  const data = program.command('data').description('data sets: what there is, decoding, checking, looking');
  registerList(data, io);
  registerPrepare(data, io);
  registerVerify(data, io);
  registerShow(data, io);
}

function registerList(data: Command, io: Io): void {
  data
    .command('list')
    .description('list the tasks: published sizes, protocol, and where their images are looked for')
    .option('--json', 'print JSON instead of a table')
    .addHelpText('after', '\nExamples:\n  xbm data list\n  XBM_DATA=/data xbm data list --json\n')
    .action(async ({ json }: { json?: boolean }) => {
      const { printDataList } = await import('./dataList.js');
      printDataList(io, json === true);
    });
}

function registerPrepare(data: Command, io: Io): void {
  dataSetOptions(data.command('prepare'))
    .description('decode the images of a task once into the pixel cache; goes on where it was stopped')
    .option('--workers <n>', 'threads that decode (default: one per core)', positive)
    .addHelpText(
      'after',
      '\nExamples:\n  xbm data prepare flowers --root /data/flowers\n' +
        '  xbm data prepare cubs --root /data/CUB_200_2011 --set training.imageSize=64\n',
    )
    .action(async (task: string, args: DataArguments & { workers?: number }) => {
      const { experiment, dataSet } = await open(task, args, io);
      const { prepareData } = await import('./dataPrepare.js');
      await prepareData(io, experiment, dataSet, args);
    });
}

function registerVerify(data: Command, io: Io): void {
  dataSetOptions(data.command('verify'))
    .description('check counts, missing, damaged and duplicate files, and train images that occur in test')
    .option('--subset', 'the folder holds some classes of the published set: compare counts per class only')
    .option('--workers <n>', 'threads that read and decode (default: one per core)', positive)
    .addHelpText(
      'after',
      '\nEnds with exit code 4 when files are missing or damaged, when a train image occurs in test, or when counts\n' +
        'differ from the published ones. Duplicates within a split are listed only: published sets have some;\n' +
        'files that are not read are counted by extension.\n' +
        '\nExamples:\n  xbm data verify flowers --root /data/flowers\n' +
        '  xbm data verify cubs --root /data/CUB_200_2011 --set data.edition=2011 --json\n' +
        '  xbm data verify sketches --root /data/forty-classes --subset\n',
    )
    .action(async (task: string, args: DataArguments & { subset?: boolean; workers?: number }) => {
      const { experiment, dataSet } = await open(task, args, io);
      const { verifyData } = await import('./dataVerify.js');
      await verifyData(io, experiment, dataSet, args);
    });
}

function registerShow(data: Command, io: Io): void {
  dataSetOptions(data.command('show'))
    .description('draw a contact sheet: some images per class, as the network sees them')
    .requiredOption('--out <file>', 'the PNG file to write (required)')
    .option('--split <split>', 'train, validation or test', splitName, 'train')
    .option('--classes <n>', 'classes shown, spread evenly over all; at most 100', atMost(100), 12)
    .option('--per-class <n>', 'images of each class; at most 50', atMost(50), 8)
    .option('--augmented', 'show the augmentation of training (default: the form used for evaluation)')
    .addHelpText(
      'after',
      '\nExamples:\n  xbm data show flowers --root /data/flowers --out sheet.png\n' +
        '  xbm data show folder --root images --out augmented.png --augmented --per-class 4\n',
    )
    .action(async (task: string, args: ShowArguments) => {
      requireEnding('--out', args.out, ['.png']);
      const { experiment, dataSet } = await open(task, args, io);
      const { cacheFolderOf } = await import('./dataPrepare.js');
      const { drawContactSheet, protocols } = await import('../data/index.js');
      const { replaceFile } = await import('../model/replaceFile.js');
      const { imageSize, seed } = experiment.training;
      const sheet = await drawContactSheet(dataSet, {
        split: args.split,
        classes: args.classes,
        perClass: args.perClass,
        cacheFolder: cacheFolderOf(experiment),
        view: {
          mode: args.augmented ? 'train' : 'evaluate',
          augmentation: experiment.data.augmentation ?? protocols[experiment.task].augmentation,
          imageSize,
          seed,
        },
      });
      const out = resolve(io.cwd, args.out);
      await replaceFile(out, [sheet.png]);
      const { images, classes } = sheet;
      if (args.json) io.stdout(`${JSON.stringify({ out, images, classes, split: args.split })}\n`);
      else io.stdout(`${out}: ${images} ${args.split} images of ${classes.length} classes\n`);
    });
}

interface ShowArguments extends DataArguments {
  readonly out: string;
  readonly split: Split;
  readonly classes: number;
  readonly perClass: number;
  readonly augmented?: boolean;
}

function dataSetOptions(command: Command): Command {
  return command
    .argument('<task>', 'cubs, cars, flowers, wikiart, sketches or folder')
    .option('--root <dir>', 'folder of the data set (default: $XBM_DATA/<task>)')
    .option(
      '--set <key=value>',
      'override one key of the task’s config; repeatable',
      (value: string, previous: readonly string[]) => [...previous, value],
      [],
    )
    .option('--json', 'print one JSON document as the last line');
}

/** The data set as a training run of the task's packaged config would open it. */
async function open(
  task: string,
  { root, set = [] }: DataArguments,
  io: Io,
): Promise<{ experiment: Experiment; dataSet: DataSet }> {
  const { configForTask } = await import('../config/packaged.js');
  const { loadExperiment } = await import('../config/load.js');
  const { openExperimentData } = await import('../runs/openExperiment.js');
  const loaded = loadExperiment({ config: configForTask(task), overrides: [...set], cwd: io.cwd });
  const data = root === undefined ? loaded.data : { ...loaded.data, root: resolve(io.cwd, root) };
  const experiment = { ...loaded, data };
  return { experiment, dataSet: await openExperimentData(experiment, io.env) };
}

const atMost = (limit: number) => (value: string) => {
  const n = Number(value);
  if (Number.isInteger(n) && n >= 1 && n <= limit) return n;
  throw new InvalidArgumentError(`Expected a whole number from 1 to ${limit}.`);
};

const positive = atMost(10_000);

function splitName(value: string): Split {
  if (value === 'train' || value === 'validation' || value === 'test') return value;
  throw new InvalidArgumentError('Expected train, validation or test.');
}
