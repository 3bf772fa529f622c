import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import type { Task } from '../adaption/task.js';
import { UserError } from '../errors.js';
import { formatBytes } from './format.js';
import type { Io } from './io.js';
import { requireEnding } from './options.js';
import { requireWritable, selectRun } from './selectRun.js';
import { formatTable } from './table.js';

interface MasksArguments {
  readonly run?: string;
  readonly task?: string;
  readonly file?: string;
  readonly out?: string;
  readonly json?: boolean;
}

/** `xbm masks`. */
export function registerMasks(program: Command, io: Io): void {
  program
    .command('masks')
    .description('show the masks of a trained task: share off per layer, size, a picture')
    .option('--run <folder>', 'run folder (default: the newest finished run with masks)')
    .option('--task <task>', 'the newest such run of this task or experiment name')
    .option('--file <file>', 'a task file instead of a run')
    .option('--out <file>', 'where the picture goes (default: masks.png in the run folder)')
    .option('--json', 'print the result as one JSON document')
    .addHelpText(
      'after',
      `
In the picture each convolution is a strip: a column is an output channel, a row a segment of its filter; white is on,
black is off.

Examples:
  xbm masks
  xbm masks --task flowers --json
  xbm masks --file task.safetensors --out masks.png
`,
    )
    .action((args: MasksArguments) => showMasks(args, io));
}

async function showMasks(args: MasksArguments, io: Io): Promise<void> {
  const { readTaskFile } = await import('../adaption/taskFile.js');
  requireEnding('--out', args.out, ['.png']);
  if (args.file !== undefined && (args.run ?? args.task) !== undefined) {
    throw new UserError('--file names a task file, --run and --task a run', 'Give one of them.');
  }
  const run = args.file === undefined ? await selectRun(args.run, args.task, io, { withMasks: true }) : null;
  const path = run?.task ?? resolve(io.cwd, args.file!);
  const task = run ? await run.readTask() : await readTaskFile(path);
  if (task.method.mask === null) {
    throw new UserError(
      `${path}: method ${task.method.name} has no masks`,
      'Name a run of xbm or piggyback.',
    );
  }
  const picture = args.out ? resolve(io.cwd, args.out) : (run?.masksPicture ?? null);
  if (picture) requireWritable(dirname(picture));
  let drawn: string | null = null;
  try {
    if (picture) drawn = await drawMasks(picture, task);
  } finally {
    // A full disk or a folder that turns out not to be writable does not withhold the numbers.
    await report(path, task, drawn, args, io);
  }
}

async function drawMasks(file: string, task: Task): Promise<string> {
  const { maskPicture } = await import('../runs/maskPicture.js');
  const { writePng } = await import('../runs/picture.js');
  await writePng(file, maskPicture(task));
  return file;
}

async function report(
  path: string,
  task: Task,
  picture: string | null,
  args: MasksArguments,
  io: Io,
): Promise<void> {
  const { maskBytes } = await import('../adaption/taskFile.js');
  const { maskShares } = await import('../adaption/task.js');
  const { packedBytes } = await import('../adaption/pack.js');
  const { layers, total } = maskShares(task);
  const rows = layers.map((layer) => ({ ...layer, bytes: packedBytes(layer.bits) }));
  const bytes = maskBytes(task);
  if (args.json) {
    const { name: method, mask } = task.method;
    const result = { file: path, method, granularity: mask!.granularity, shareOff: total.shareOff };
    const sizes = { maskBits: total.bits, maskBytes: bytes };
    io.stdout(`${JSON.stringify({ ...result, ...sizes, layers: rows, picture })}\n`);
    return;
  }
  const cells = [...rows, { name: 'total', ...total, bytes }].map(
    ({ name, bits, off, shareOff, bytes: size }) => [name, bits, off, shareOff.toFixed(2), size],
  );
  io.stdout(formatTable(['layer', 'bits', 'off', 'share off %', 'bytes'], cells));
  io.stdout(`\n${formatBytes(bytes)} of masks in ${path}\n`);
  if (picture) io.stdout(`picture: ${picture}\n`);
}
