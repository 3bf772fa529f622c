import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UserError } from '../errors.js';
import type { HardwareDescription } from '../hardware/description.js';
import type { CrossbarNetwork } from '../hardware/network.js';
import type { HardwareReport } from '../report/hardwareReport.js';
import type { ResultSet } from '../report/results.js';
import type { Table } from '../report/table.js';
import type { Io } from './io.js';
import { collect, refuseTogether } from './options.js';
import { noteLeftOut, refuseUnfinished } from './selectRun.js';
import { formatTable } from './table.js';

interface ReportArguments {
  readonly preset?: string;
  readonly set?: readonly string[];
  readonly shares?: 'published';
  readonly run?: readonly string[];
  readonly network?: string;
  readonly onnx?: string;
  readonly imageSize?: number;
  readonly backbone?: string;
  readonly format: 'table' | 'json' | 'csv' | 'md' | 'tex';
  readonly json?: boolean;
  readonly layers?: boolean;
  readonly table?: readonly string[];
  readonly out?: string;
  readonly force?: boolean;
}

/** `xbm hw-report`. */
export function registerHwReport(program: Command, io: Io): void {
  program
    .command('hw-report')
    .description('energy, area, latency and reprogramming cost of tasks on a ReRAM crossbar chip')
    .option('--preset <name>', 'hardware preset or YAML file (default: the runs’ own, or nn-imc)')
    .option('--set <key=value>', 'override a constant or policy of the preset; repeatable', collect)
    .addOption(
      new Option('--shares <source>', 'the shares the authors published instead of trained runs').choices([
        'published',
      ]),
    )
    .option(
      '--run <folder>',
      'a trained run; repeatable (default: the newest of each task and method)',
      collect,
    )
    .option('--network <name>', 'network to price with published shares, or alone (default: resnet50)')
    .option('--onnx <file>', 'price an ONNX classification network, without tasks')
    .option(
      '--image-size <pixels>',
      'height and width of the images (default: the runs’, or 224; CIFAR networks: 32)',
      pixels,
    )
    .option('--backbone <file>', 'the quantised backbone of the runs, when it has moved')
    .addOption(
      new Option('--format <format>', 'what to print')
        .choices(['table', 'json', 'csv', 'md', 'tex'])
        .default('table'),
    )
    .option('--json', 'short for --format json')
    .option('--table <id>', 'print only this table (as named by the CSV files of --out); repeatable', collect)
    .option('--layers', 'add the mapping and energy of every layer')
    .option(
      '--out <folder>',
      'also write report.md, report.json, every table as CSV and LaTeX, and the charts',
    )
    .option('--force', 'with --out: replace files that are no hardware report’s')
    .addHelpText(
      'after',
      `
Without --shares, --onnx or --network it prices the finished runs below results/runs, the newest of each task and
method, or the published shares when there are none; \`xbm reproduce\` averages over seeds. docs/hardware.md describes
the model, its policies and sources. --out replaces an earlier hardware report in its folder, other files only with
--force.

Tables (--table):
  accuracy, energy-per-image, saving-per-image, uniform-share, inference, reprogramming, total, ratio-to-xbm,
  ratio-to-inference, switching-<method>, wear, energy-components, area, latency, memory, sensitivity-reprogramming,
  sensitivity-write-energy, sensitivity-switching, sensitivity-accuracy, claims, policies, assumptions, constants, layers.

Examples:
  xbm hw-report --preset nn-imc --shares published
  xbm hw-report --shares published --set write.energyPerCell=104 --set policies.gating=by-component
  xbm hw-report --run results/runs/flowers-xbm-1a2b3c4d-s0 --format md
  xbm hw-report --shares published --table total --table claims
  xbm hw-report --shares published --table energy-per-image --format tex
  xbm hw-report --network resnet18 --image-size 96 --layers
  xbm hw-report --onnx model.onnx --json
  xbm hw-report --shares published --out results/hardware
`,
    )
    .action((args: ReportArguments) => printReport(args, io));
}

function pixels(text: string): number {
  const size = Number(text);
  if (Number.isInteger(size) && size >= 8 && size <= 4096) return size;
  throw new InvalidArgumentError('expected a whole number of pixels from 8 to 4096.');
}

async function printReport(args: ReportArguments, io: Io): Promise<void> {
  if (args.force && args.out === undefined)
    throw new UserError('--force has no meaning without --out', 'Leave it out, or add --out.');
  if (args.out !== undefined && !args.force) {
    const { requireOwnReport } = await import('../report/writeReport.js');
    requireOwnReport(resolve(io.cwd, args.out));
  }
  const report = await buildReport(args, io);
  const { hardwareTables } = await import('../report/hardwareTables.js');
  const { hardwareJson } = await import('../report/hardwareJson.js');
  const format = args.json ? 'json' : args.format;
  const tables = args.table && chosenTables(args.table, hardwareTables(report, true));
  if (format === 'json') {
    io.stdout(`${JSON.stringify(tables ? { tables } : hardwareJson(report))}\n`);
  } else if (format === 'csv') {
    const { tableToCsv } = await import('../report/table.js');
    const { resultsTable } = await import('../report/taskTables.js');
    io.stdout((tables ?? [taskRows(resultsTable(report))]).map(tableToCsv).join('\r\n'));
  } else if (format === 'md') {
    const { reportMarkdown } = await import('../report/markdown.js');
    const { tableToMarkdown } = await import('../report/table.js');
    io.stdout(tables ? tables.map(tableToMarkdown).join('\n') : reportMarkdown(report, args.layers));
  } else if (format === 'tex') {
    const { latexDocument } = await import('../report/experiment/latex.js');
    const { fromTable } = await import('../report/experiment/resultTable.js');
    const chosen = tables ?? hardwareTables(report, args.layers);
    io.stdout(latexDocument(chosen.map((table) => fromTable(table))));
  } else if (tables) {
    const { formatCell } = await import('../report/table.js');
    io.stdout(tables.map((table) => tableText(table, formatCell, io)).join('\n'));
  } else {
    const { formatCell } = await import('../report/table.js');
    const { reportTitle } = await import('../report/markdown.js');
    const { warnings } = await import('../report/assumptions.js');
    io.stdout(`${reportTitle(report)}\n${report.source}\n\n`);
    for (const warning of warnings(report)) io.stdout(`Note: ${warning}\n`);
    for (const table of hardwareTables(report, args.layers)) {
      io.stdout(`\n${tableText(table, formatCell, io)}`);
    }
  }
  if (args.out !== undefined) {
    const { writeReport } = await import('../report/writeReport.js');
    const files = await writeReport(report, resolve(io.cwd, args.out));
    io.stderr(`${files.map((file) => `wrote ${file}\n`).join('')}`);
  }
}

function chosenTables(ids: readonly string[], tables: readonly Table[]): Table[] {
  return [...new Set(ids)].map((id) => {
    const found = tables.find((table) => table.id === id);
    if (found) return found;
    throw new UserError(
      `the report has no table "${id}"`,
      `Its tables are ${tables.map((table) => table.id).join(', ')}.`,
    );
  });
}

function taskRows<T extends Pick<Table, 'rows'>>(table: T): T {
  if (table.rows.length > 0) return table;
  throw new UserError(
    '--format csv has a row per task and method, and a network alone has none',
    'Name tables with --table, such as --table layers.',
  );
}

function tableText(
  table: Table,
  formatCell: (cell: string | number | null) => string,
  { columns }: Io,
): string {
  const rows = table.rows.map((row) => row.map((cell) => (cell === null ? null : formatCell(cell))));
  const notes = table.notes.map((note) => `${note}\n`).join('');
  return `${table.title}\n${formatTable(table.header, rows, columns)}${notes}`;
}

async function buildReport(args: ReportArguments, io: Io): Promise<HardwareReport> {
  const { loadHardware } = await import('../hardware/load.js');
  const { hardwareReport } = await import('../report/hardwareReport.js');
  refuseTogether(args, [
    ['shares', 'run'],
    ['shares', 'onnx'],
    ['run', 'onnx'],
    ['network', 'onnx'],
    ['network', 'run'],
    ['backbone', 'shares'],
    ['backbone', 'onnx'],
    ['backbone', 'network'],
  ]);
  const load = (preset = 'nn-imc') => loadHardware(args.preset ?? preset, args.set, io.cwd);
  if (args.onnx !== undefined) {
    const { readOnnxNetwork } = await import('../hardware/onnx.js');
    return hardwareReport(
      await readOnnxNetwork(resolve(io.cwd, args.onnx), args.imageSize),
      load(),
      noResults,
    );
  }
  if (args.shares) return publishedReport(args, load());
  if (args.network !== undefined) {
    return hardwareReport(await namedNetwork(args), load(), noResults);
  }

  const { RunFolder, finishedRuns, runsFolder } = await import('../runs/runFolder.js');
  const { hardwareOfRuns, newestRuns, readRunResults } = await import('../report/runResults.js');
  const backboneFile = args.backbone === undefined ? undefined : resolve(io.cwd, args.backbone);
  // Checked here, for not every run makes the report read it.
  if (backboneFile !== undefined && !existsSync(backboneFile))
    throw new UserError(`${backboneFile}: no such file`, 'Check --backbone.');
  const named = args.run?.map((run) => new RunFolder(resolve(io.cwd, run)));
  for (const folder of named ?? []) {
    refuseUnfinished(folder);
    folder.readComplete();
  }
  const { newest: folders, older } = named
    ? { newest: named, older: [] }
    : newestRuns(finishedRuns(runsFolder(io.cwd), noteLeftOut(io)));
  if (folders.length === 0) {
    io.stderr('no finished run below results/runs: using the published shares\n');
    if (backboneFile !== undefined) io.stderr(IDLE_BACKBONE);
    return publishedReport(args, load());
  }
  const { hardwareForRuns } = await import('../report/runHardware.js');
  const hardware = load(args.preset ?? hardwareOfRuns(folders));
  const runs = await readRunResults(folders, {
    imageSize: args.imageSize,
    backboneFile,
    needLevels: hardware.policies.piggybackCells === 'digit-changes',
  });
  if (backboneFile !== undefined && !runs.set.backboneLevels) io.stderr(IDLE_BACKBONE);
  const left = older.map(({ path }) => basename(path)).join(', ');
  if (left) io.stderr(`left out, as there is a newer run of the same task and method: ${left}\n`);
  const assumptions = [...(left ? [`Older runs left out: ${left}.`] : []), ...runs.set.assumptions];
  return hardwareReport(runs.network, hardwareForRuns(hardware, runs), { ...runs.set, assumptions });
}

const IDLE_BACKBONE =
  'Note: --backbone changes nothing here: only fine-tuned runs and policies.piggybackCells=digit-changes need it\n';

const noResults: ResultSet = { source: 'no tasks: the network alone', results: [], assumptions: [] };

async function publishedReport(
  args: ReportArguments,
  hardware: HardwareDescription,
): Promise<HardwareReport> {
  const { hardwareReport } = await import('../report/hardwareReport.js');
  const { publishedResults } = await import('../report/results.js');
  const network = await namedNetwork(args);
  return hardwareReport(network, hardware, publishedResults(network, hardware.array.rows.value));
}

async function namedNetwork(args: ReportArguments): Promise<CrossbarNetwork> {
  const { buildNetwork, naturalImageSize } = await import('../model/networks.js');
  const { crossbarNetwork } = await import('../hardware/network.js');
  const { network = 'resnet50' } = args;
  try {
    return crossbarNetwork(buildNetwork(network, 1000), args.imageSize ?? naturalImageSize(network));
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError((error as Error).message, 'Choose a larger --image-size.');
  }
}
