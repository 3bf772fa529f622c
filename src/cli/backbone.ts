import { type Command, InvalidArgumentError, Option } from 'commander';
import { batchSizeLimits, imageSizeLimits } from '../config/limits.js';
import type { Augmentation } from '../data/types.js';
import type { EngineName } from '../engines/engine.js';
import type { BatchNormRule } from '../model/batchNormCorrection.js';
import type { Rounding } from '../model/calibrate.js';
import type { ClipRule } from '../model/calibrateClips.js';
import type { WeightScale } from '../model/quantize.js';
import { registerBackboneTrain } from './backboneTrain.js';
import type { Io } from './io.js';
import { engineOption, storeName } from './options.js';

/** How images are made into batches, and who computes. */
export interface RunArguments {
  readonly imageSize?: number;
  readonly augmentation?: Augmentation;
  /** Per cent of the short side that the centre crop takes. */
  readonly crop?: number;
  readonly batchSize: number;
  readonly engine: EngineName | 'auto';
  readonly threads: number;
  readonly json?: boolean;
}

export interface QuantizeArguments extends RunArguments {
  readonly network?: string;
  readonly weightBits: number;
  readonly activationBits: number;
  readonly weightScale: WeightScale;
  readonly rounding: Rounding;
  readonly clips: ClipRule;
  readonly batchNorm: BatchNormRule | 'keep';
  readonly calibrationImages: number;
  readonly seed: number;
  /** Those of {@link quantizing} that the command line gives. */
  readonly named: readonly QuantizingOption[];
}

/** Options that say how float weights are quantised. */
const quantizing = [
  ...(['network', 'weightBits', 'activationBits', 'weightScale'] as const),
  ...(['rounding', 'clips', 'batchNorm', 'calibrationImages'] as const),
];

export type QuantizingOption = (typeof quantizing)[number];

function namedOptions(command: Command): QuantizingOption[] {
  return quantizing.filter((option) => command.getOptionValueSource(option) === 'cli');
}

/** `xbm backbone import | info | list | check | train`. */
export function registerBackbone(program: Command, io: Io): void {
  const backbone = program.command('backbone').description('frozen backbones: import, look at, measure');
  registerImport(backbone, io);
  registerInfo(backbone, io);
  registerList(backbone, io);
  registerCheck(backbone, io);
  registerBackboneTrain(backbone, io);
}

function registerImport(backbone: Command, io: Io): void {
  quantizeOptions(backbone.command('import'))
    .description('quantise float weights, calibrate them on images, put the result in the store')
    .argument(
      '<file>',
      'safetensors with torchvision, timm or Hugging Face names, may be gzipped; or a backbone',
    )
    .option('--calibrate <folder>', 'images like those it was trained on; needed below 32 bits')
    .option('--name <name>', "its name in the store (default: the file's)", storeName)
    .option('--out <file>', 'a file instead of the store')
    .option('--force', 'replace the backbone of that name')
    .addHelpText(
      'after',
      `
A backbone that xbm has quantised elsewhere goes into the store as it is.

Examples:
  xbm backbone import resnet50.safetensors --calibrate ~/imagenet/train-sample --name resnet50-imagenet
  xbm backbone import resnet18.safetensors --weight-bits 32 --activation-bits 32
`,
    )
    .action(async (file: string, args: QuantizeArguments, command: Command) => {
      const { importBackbone } = await import('./backboneImport.js');
      await importBackbone(file, { ...args, named: namedOptions(command) }, io);
    });
}

function registerInfo(backbone: Command, io: Io): void {
  backbone
    .command('info')
    .description('show what a backbone is, and check it against its SHA-256')
    .argument('<backbone>', 'a name in the store, or a file')
    .option('--json', 'print the result as one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  xbm backbone info resnet50-imagenet\n  xbm backbone info ./b.safetensors --json\n',
    )
    .action(async (name: string, args: { json?: boolean }) => {
      const { printBackbone } = await import('./backboneInfo.js');
      await printBackbone(name, args, io);
    });
}

function registerList(backbone: Command, io: Io): void {
  backbone
    .command('list')
    .description('list the backbones in the store ($XBM_HOME/backbones)')
    .option('--json', 'print the result as one JSON document')
    .addHelpText('after', '\nExample:\n  xbm backbone list\n')
    .action(async (args: { json?: boolean }) => {
      const { printBackbones } = await import('./backboneInfo.js');
      await printBackbones(args, io);
    });
}

function registerCheck(backbone: Command, io: Io): void {
  quantizeOptions(backbone.command('check'))
    .description(
      'measure top-1 on labelled images, before and after quantisation; never on calibration images',
    )
    .argument('<backbone>', 'a name in the store, a stored file, or float weights (then quantised here)')
    .requiredOption('--images <folder>', 'images: one folder per class, or any with --labels')
    .option('--labels <file>', 'CSV with lines "file,label"; a label is a class index or a class name')
    .option('--float <file>', 'for a stored backbone: the float weights, measured too')
    .option('--limit <count>', 'measure at most so many images, drawn from all', positive)
    .addHelpText(
      'after',
      `
Float weights are measured in full precision, plainly quantised, and calibrated: --calibration-images are drawn from
the images and the others measured. A stored backbone is measured on the images it was not calibrated on, at the
size and crop it was calibrated at unless others are named; it is quantised already and takes no options for that.

Examples:
  xbm backbone check resnet50.safetensors --images val --labels val.csv
  xbm backbone check resnet50-imagenet --images val --labels val.csv --float resnet50.safetensors --json
`,
    )
    .action(async (name: string, args: QuantizeArguments & { images: string }, command: Command) => {
      const { checkBackbone } = await import('./backboneCheck.js');
      await checkBackbone(name, { ...args, named: namedOptions(command) }, io);
    });
}

function quantizeOptions(command: Command): Command {
  const { rounding, clips, batchNorm } = defaults;
  return command
    .option('--network <name>', 'network of the float weights (default: recognised by its tensors)')
    .option('--weight-bits <bits>', '2 to 8, or 32', bits, 4)
    .option('--activation-bits <bits>', '2 to 8, or 32', bits, 4)
    .addOption(choice('--weight-scale <per>', 'one scale per', ['channel', 'layer'], 'channel'))
    .addOption(choice('--rounding <rule>', 'how weights are rounded', ['feedback', 'nearest'], rounding))
    .addOption(choice('--clips <rule>', 'how activation clips are set', ['percentile', 'mse'], clips))
    .addOption(
      choice(
        '--batch-norm <rule>',
        'how batch norm is fitted to the quantised network',
        ['statistics', 'shift', 'regression', 'keep'],
        batchNorm,
      ),
    )
    .option('--calibration-images <count>', 'images to calibrate on', positive, 128)
    .option('--seed <n>', 'which images are drawn', natural, 0)
    .option('--image-size <pixels>', 'side of the square input (default: 224; CIFAR networks: 32)', imageSize)
    .addOption(
      new Option(
        '--augmentation <name>',
        'how images get that size (default: 256/224 and centre crop; CIFAR: none)',
      ).choices(['random-resized-crop', 'resize-flip', 'none']),
    )
    .option(
      '--crop <percent>',
      'share of the short side that the centre crop takes (default: 87.5 = 224/256; 100: no margin)',
      cropPercent,
    )
    .option('--batch-size <count>', 'images per step', batchSize, 10)
    .addOption(engineOption().default('auto'))
    .option('--threads <count>', 'CPU threads; 0: one per core', natural, 0)
    .option('--json', 'print the result as one JSON document');
}

/** As in src/model/calibrate.ts, which is not loaded for help texts; a test compares them. */
export const defaults = { rounding: 'feedback', clips: 'percentile', batchNorm: 'statistics' } as const;

function choice(flags: string, description: string, choices: readonly string[], value: string): Option {
  return new Option(flags, description).choices(choices).default(value);
}

function integer(text: string, isValid: (value: number) => boolean, expected: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !isValid(value)) throw new InvalidArgumentError(`Expected ${expected}.`);
  return value;
}

function between(text: string, { min, max }: { min: number; max: number }): number {
  return integer(text, (n) => n >= min && n <= max, `a whole number from ${min} to ${max}`);
}

/** Below 10 % images would be enlarged more than tenfold. */
function cropPercent(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 10 && value <= 100))
    throw new InvalidArgumentError('Expected a number from 10 to 100.');
  return value;
}

const bits = (text: string) => integer(text, (n) => (n >= 2 && n <= 8) || n === 32, '2 to 8, or 32');
const positive = (text: string) => integer(text, (n) => n > 0 && n < 2 ** 31, 'a whole number above 0');
const imageSize = (text: string) => between(text, imageSizeLimits);
const batchSize = (text: string) => between(text, batchSizeLimits);
const natural = (text: string) => integer(text, (n) => n < 2 ** 31, 'a whole number');
