import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Experiment } from '../config/schema.js';
import { ExitCode, UserError } from '../errors.js';
import type { Comparison } from '../export/checkModel.js';
import type { ExportedModel, ExportPrecision, ExportRequest, NamedTask } from '../export/exportModel.js';
import { formatBytes } from './format.js';
import type { Io } from './io.js';
import { requireEnding } from './options.js';
import { selectRun } from './selectRun.js';

interface ExportArguments {
  readonly backbone?: string;
  readonly out: string;
  readonly precision?: string;
  readonly check: boolean;
  readonly json?: boolean;
}

/** What names a task: a run folder, a task or experiment name, or a task file; none of them: the newest run. */
interface Choice {
  readonly run?: string;
  readonly task?: string;
  readonly file?: string;
}

/** A task file, and the experiment that made it where that is known. */
interface Source {
  readonly file: string;
  readonly name: string;
  readonly experiment: Experiment | null;
}

/** Where the median image's logits are further apart than this, per cent of the largest one, it is not rounding. */
const TOLERANCE = 5;

/** `xbm export`. */
export function registerExport(program: Command, io: Io): void {
  // One list for three options: the tasks of the model are in the order of the command line.
  const choices: Choice[] = [];
  const choose = (option: keyof Choice) => (value: string) => choices.push({ [option]: value });
  program
    .command('export')
    .description('write backbone and task as one ONNX model that plain ONNX Runtime runs')
    .requiredOption('--out <file>', 'the .onnx file to write (required)')
    .option('--run <folder>', 'run folder (default: the newest finished run); repeatable', choose('run'))
    .option(
      '--task <task>',
      'the newest finished run of this task or experiment name; repeatable',
      choose('task'),
    )
    .option('--file <file>', 'a task file instead of a run; repeatable', choose('file'))
    .option('--backbone <file>', 'the backbone it belongs to: a file or a name in the store')
    .option('--precision <precision>', 'int8 or float (default: int8 where the backbone has at most 8 bits)')
    .option('--no-check', 'do not load the model back and compare it with the engine')
    .option('--json', 'print the result as one JSON document')
    .addHelpText(
      'after',
      `
With several tasks the model has the backbone once and takes the task's position on this command line as its second
input.

Examples:
  xbm export --out model.onnx
  xbm export --task flowers --out flowers.onnx --precision float
  xbm export --file task.safetensors --backbone resnet50-imagenet --out model.onnx --json
  xbm export --task flowers --task cubs --task sketches --out three-tasks.onnx
`,
    )
    .action((args: ExportArguments) => exportCommand(choices, args, io));
}

async function exportCommand(choices: readonly Choice[], args: ExportArguments, io: Io): Promise<void> {
  requireEnding('--out', args.out, ['.onnx']);
  const { defaultPrecision, exportModel } = await import('../export/exportModel.js');
  const { loadBackbone } = await import('../model/store.js');
  const { replaceFile } = await import('../model/replaceFile.js');
  const sources: Source[] = [];
  for (const choice of choices.length > 0 ? choices : [{}]) sources.push(await findSource(choice, io));
  requireNames(sources);
  const tasks: NamedTask[] = [];
  for (const source of sources) tasks.push(await readSource(source));
  const weights = await backboneFile(tasks, sources, args, io);
  const out = resolve(io.cwd, args.out);
  refuseInput(out, [weights, ...sources.flatMap(({ file }) => [file, configOf(file)])]);
  const { backbone } = await loadBackbone(weights);
  const precision = parsePrecision(args.precision) ?? defaultPrecision(backbone);
  const request = { backbone, tasks, precision };
  const model = exportModel(request);
  const check = args.check ? await checked(model, request, io) : null;
  await replaceFile(out, [model.bytes]);
  report(out, request, model, check, args, io);
}

async function findSource({ run, task, file }: Choice, io: Io): Promise<Source> {
  const { loadExperiment } = await import('../config/load.js');
  const path = file === undefined ? (await selectRun(run, task, io)).task : resolve(io.cwd, file);
  const config = configOf(path);
  if (file === undefined || existsSync(config)) {
    const experiment = loadExperiment({ config, overrides: [], cwd: io.cwd });
    return { file: path, name: experiment.name ?? experiment.task, experiment };
  }
  return { file: path, name: basename(path).replace(/\.safetensors$/, ''), experiment: null };
}

/** Where the experiment that made a task file is, if it is known. */
function configOf(file: string): string {
  return join(dirname(file), 'config.yaml');
}

/** @throws UserError when two tasks have one name: the reader of a model tells them apart by it */
function requireNames(sources: readonly Source[]): void {
  sources.forEach(({ file, name }, i) => {
    const other = sources.slice(0, i).find((source) => source.name === name);
    if (!other) return;
    throw new UserError(
      `two tasks are named ${name}: ${other.file} and ${file}`,
      'Name each task once; a run trained with --set name=… has a name of its own.',
    );
  });
}

/** @throws UserError when the model would replace what it is made from */
function refuseInput(out: string, inputs: readonly string[]): void {
  const input = existsSync(out) ? inputs.find((file) => isSameFile(file, out)) : undefined;
  if (input === undefined) return;
  throw new UserError(`--out ${out} is an input of this export: ${input}`, 'Choose another path.');
}

/** Also by another name, through links. */
function isSameFile(one: string, other: string): boolean {
  const [a, b] = [one, other].map((path) => statSync(path, { bigint: true, throwIfNoEntry: false }));
  return a !== undefined && a.dev === b?.dev && a.ino === b.ino;
}

async function readSource({ file, name, experiment }: Source): Promise<NamedTask> {
  const { readTaskFile } = await import('../adaption/taskFile.js');
  const task = await readTaskFile(file);
  if (!experiment) return { name, task, preparation: null };
  const { imagePreparation } = await import('../export/preparation.js');
  const { protocols } = await import('../data/protocol.js');
  const protocol = protocols[experiment.task];
  const { augmentation, crop } = experiment.data;
  const preparation = imagePreparation(
    augmentation ?? protocol.augmentation,
    task.imageSize,
    crop ?? protocol.crop,
  );
  return { name, task, preparation };
}

/** The backbone that is named, else the one that the first task was trained on; all tasks must share it. */
async function backboneFile(
  [{ task }]: readonly NamedTask[],
  sources: readonly Source[],
  args: ExportArguments,
  io: Io,
): Promise<string> {
  if (args.backbone === undefined) {
    const { requireStored } = await import('../runs/findBackbone.js');
    const experiment = sources.find((source) => source.experiment)?.experiment;
    return requireStored(experiment?.backbone.weights ?? '', task.backboneSha256);
  }
  const { resolveName } = await import('./backboneInfo.js');
  return resolveName(args.backbone, io, '--backbone');
}

function parsePrecision(text: string | undefined): ExportPrecision | undefined {
  if (text === undefined || text === 'int8' || text === 'float') return text;
  throw new UserError(`--precision ${text}: expected int8 or float`);
}

async function checked(model: ExportedModel, request: ExportRequest, io: Io): Promise<Comparison[]> {
  const { checkModel } = await import('../export/checkModel.js');
  const { openEngine } = await import('../engines/registry.js');
  const { engine } = await openEngine('onnx', { threads: 0 });
  io.stderr(`comparing with ${engine.device}\n`);
  const comparisons = await checkModel(model.bytes, request, engine);
  comparisons.forEach(({ medianDifference }, i) => {
    if (medianDifference <= TOLERANCE) return;
    throw new UserError(
      `${request.tasks[i].name}: the exported model's logits differ from the engine's by ${medianDifference.toFixed(2)} %; nothing was written`,
      'Try --precision float, and report this.',
      ExitCode.failed,
    );
  });
  return comparisons;
}

function report(
  out: string,
  { tasks, precision, backbone }: ExportRequest,
  { bytes, metadata, requantizations }: ExportedModel,
  check: Comparison[] | null,
  args: ExportArguments,
  io: Io,
): void {
  const names = tasks.map(
    ({ name, task }) => `${name} (${task.method.name}, ${task.classes.length} classes)`,
  );
  if (args.json) {
    const result = {
      file: out,
      bytes: bytes.length,
      precision,
      opset: metadata.opset,
      requantizations,
      check,
    };
    const list = tasks.map(({ name, task }) => ({
      name,
      method: task.method.name,
      classes: task.classes.length,
    }));
    io.stdout(`${JSON.stringify({ ...result, backboneSha256: backbone.sha256, tasks: list })}\n`);
    return;
  }
  io.stdout(`${out}: ${formatBytes(bytes.length)}, ${precision}\n`);
  names.forEach((name, i) => {
    io.stdout(`task ${i}: ${name}${check ? `: ${comparisonText(check[i])}` : ''}\n`);
  });
  if (check?.some(({ largestDifference, otherClass }) => largestDifference > TOLERANCE || otherClass > 0))
    io.stdout('Why single images may be that far off: docs/export.md, "What is computed".\n');
  if (tasks.some(({ preparation }) => !preparation))
    io.stderr('without a config.yaml beside the task file, the model does not say how to resize images\n');
}

/** What a check found, in words. */
export function comparisonText(comparison: Comparison): string {
  const { images, medianDifference, largestDifference, otherClass } = comparison;
  const [median, largest] = [medianDifference, largestDifference].map((value) => `${value.toPrecision(2)} %`);
  return `logits of the median image ${median} off the engine's, of the worst ${largest}; ${otherClass} of ${images} images change class`;
}
