import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Experiment } from '../config/schema.js';
import { ExitCode, UserError } from '../errors.js';
import type { Comparison } from '../export/checkModel.js';
import type { ExportedModel, ExportPrecision, ExportRequest, NamedTask } from '../export/exportModel.js';
import type { Backbone } from '../model/backbone.js';
import { formatBytes } from './format.js';
import type { Io } from './io.js';
import { collect } from './options.js';
import { selectRun } from './selectRun.js';

interface ExportArguments {
  readonly run: readonly string[];
  readonly task: readonly string[];
  readonly file: readonly string[];
  readonly backbone?: string;
  readonly out: string;
  readonly precision?: string;
  readonly check: boolean;
  readonly json?: boolean;
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
  program
    .command('export')
    .description('write backbone and task as one ONNX model that plain ONNX Runtime runs')
    .requiredOption('--out <file>', 'the ONNX file to write (required)')
    .option('--run <folder>', 'run folder (default: the newest finished run); repeatable', collect, [])
    .option(
      '--task <task>',
      'the newest finished run of this task or experiment name; repeatable',
      collect,
      [],
    )
    .option('--file <file>', 'a task file instead of a run; repeatable', collect, [])
    .option('--backbone <file>', 'the backbone it belongs to: a file or a name in the store')
    .option('--precision <precision>', 'int8 or float (default: int8 where the backbone has at most 8 bits)')
    .option('--no-check', 'do not load the model back and compare it with the engine')
    .option('--json', 'print the result as one JSON document')
    .addHelpText(
      'after',
      `
With several tasks the model has the backbone once and takes the task's position as its second input.

Examples:
  xbm export --out model.onnx
  xbm export --task flowers --out flowers.onnx --precision float
  xbm export --file task.safetensors --backbone resnet50-imagenet --out model.onnx --json
  xbm export --task flowers --task cubs --task sketches --out three-tasks.onnx
`,
    )
    .action((args: ExportArguments) => exportCommand(args, io));
}

async function exportCommand(args: ExportArguments, io: Io): Promise<void> {
  const { defaultPrecision, exportModel } = await import('../export/exportModel.js');
  const { replaceFile } = await import('../model/replaceFile.js');
  const sources = await findSources(args, io);
  const tasks: NamedTask[] = [];
  for (const source of sources) tasks.push(await readSource(source));
  const backbone = await openBackboneOf(tasks[0], sources[0], args, io);
  const precision = parsePrecision(args.precision) ?? defaultPrecision(backbone);
  const request = { backbone, tasks, precision };
  const model = exportModel(request);
  const check = args.check ? await checked(model, request, io) : null;
  const out = resolve(io.cwd, args.out);
  await replaceFile(out, [model.bytes]);
  report(out, request, model, check, args, io);
}

async function findSources(args: ExportArguments, io: Io): Promise<Source[]> {
  const { loadExperiment } = await import('../config/load.js');
  const load = (config: string) => loadExperiment({ config, overrides: [], cwd: io.cwd });
  const nothing = args.run.length + args.task.length + args.file.length === 0;
  const runs = [
    ...args.run.map((run) => selectRun(run, undefined, io)),
    ...args.task.map((task) => selectRun(undefined, task, io)),
    ...(nothing ? [selectRun(undefined, undefined, io)] : []),
  ];
  const sources: Source[] = [];
  for (const run of await Promise.all(runs)) {
    const experiment = load(run.config);
    sources.push({ file: run.task, name: experiment.name ?? experiment.task, experiment });
  }
  for (const name of args.file) {
    const file = resolve(io.cwd, name);
    const config = join(dirname(file), 'config.yaml');
    const experiment = existsSync(config) ? load(config) : null;
    const stem = basename(file).replace(/\.safetensors$/, '');
    sources.push({ file, name: experiment ? (experiment.name ?? experiment.task) : stem, experiment });
  }
  return sources;
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

/** The one that is named, else the one that the first task was trained on. */
async function openBackboneOf(
  { task }: NamedTask,
  { experiment }: Source,
  args: ExportArguments,
  io: Io,
): Promise<Backbone> {
  if (args.backbone === undefined) {
    const { requireBackbone } = await import('../runs/findBackbone.js');
    return requireBackbone(experiment?.backbone.weights ?? '', task.backboneSha256);
  }
  const { backbonePath, loadBackbone } = await import('../model/store.js');
  const file = resolve(io.cwd, args.backbone);
  const path = existsSync(file) ? file : backbonePath(args.backbone);
  return (await loadBackbone(path)).backbone;
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
    const compared = check
      ? `: logits within ${check[i].largestDifference.toPrecision(2)} % of the engine's`
      : '';
    io.stdout(`task ${i}: ${name}${compared}\n`);
  });
  if (tasks.some(({ preparation }) => !preparation))
    io.stderr('without a config.yaml beside the task file, the model does not say how to resize images\n');
}
