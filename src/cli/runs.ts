import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { UserError } from '../errors.js';
import type { ListedRun } from '../runs/runList.js';
import type { Io } from './io.js';
import { type Cell, formatTable } from './table.js';

interface RunsArguments {
  readonly task?: string;
  readonly json?: boolean;
  readonly csv?: boolean;
}

/** `xbm runs`. */
export function registerRuns(program: Command, io: Io): void {
  program
    .command('runs')
    .argument('[folder]', 'a folder of runs (default: results/runs)')
    .description('list runs, finished or not: results, progress, and the settings that tell them apart')
    .option('--task <task>', 'only runs of this task or experiment name')
    .addOption(new Option('--csv', 'print every column as CSV').conflicts('json'))
    .option('--json', 'print the result as one JSON document')
    .addHelpText(
      'after',
      `
Settings are the keys in which a run differs from the other runs of its task and method. A run that is "started" has no
checkpoint yet.

Examples:
  xbm runs
  xbm runs --task flowers --csv
  xbm runs results/quickstart/runs --json
`,
    )
    .action((folder: string | undefined, args: RunsArguments) => showRuns(folder, args, io));
}

async function showRuns(folder: string | undefined, args: RunsArguments, io: Io): Promise<void> {
  const { listRuns } = await import('../runs/runList.js');
  const { runsFolder } = await import('../runs/runFolder.js');
  const path = folder === undefined ? runsFolder(io.cwd) : resolve(io.cwd, folder);
  if (folder !== undefined && !existsSync(path))
    throw new UserError(`${path}: no such folder`, 'Name a folder of runs.');
  const runs = await listRuns(path, args.task);
  for (const { problem } of runs) if (problem) io.stderr(`${problem}\n`);
  if (args.json) io.stdout(`${JSON.stringify({ folder: path, runs: runs.map(jsonOf) })}\n`);
  else if (args.csv) io.stdout(await csvOf(runs));
  else if (runs.length > 0) io.stdout(tableOf(runs, io));
  else io.stderr(`no runs${args.task === undefined ? '' : ` of ${args.task}`} in ${path}\n`);
}

function jsonOf({ about, ...run }: ListedRun) {
  return { ...about, ...run };
}

const facts = [
  'task',
  'method',
  'network',
  'weightBits',
  'activationBits',
  'granularity',
  'rows',
  'imageSize',
  'epochs',
  'seed',
] as const;
const results = ['epochsDone', 'accuracy', 'shareOff', 'state', 'folder'] as const;

async function csvOf(runs: readonly ListedRun[]): Promise<string> {
  const { tableToCsv } = await import('../report/table.js');
  const rows = runs.map((run): Cell[] => [
    ...facts.map((key) => run.about?.[key] ?? null),
    ...results.map((key) => run[key]),
    settingsText(run),
  ]);
  return tableToCsv({ header: [...facts, ...results, 'settings'], rows });
}

function tableOf(runs: readonly ListedRun[], { columns }: Io): string {
  const percent = (value: number | null) => value?.toFixed(2) ?? null;
  const telling = runs.some(({ settings }) => Object.keys(settings).length > 0);
  const rows = runs.map((run): Cell[] => [
    run.about?.task ?? null,
    run.about?.method ?? null,
    run.about?.seed ?? null,
    percent(run.accuracy),
    percent(run.shareOff),
    run.about && run.epochsDone !== null ? `${run.epochsDone}/${run.about.epochs}` : null,
    run.state,
    basename(run.folder),
    ...(telling ? [settingsText(run)] : []),
  ]);
  const header = ['task', 'method', 'seed', 'accuracy %', 'off %', 'epochs', 'state', 'folder'];
  return formatTable([...header, ...(telling ? ['settings'] : [])], rows, columns);
}

/** As `--set` takes them. */
function settingsText({ settings }: ListedRun): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ');
}
