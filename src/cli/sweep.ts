import { basename, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UserError } from '../errors.js';
import type { HardwareDescription } from '../hardware/description.js';
import type { CrossbarNetwork } from '../hardware/network.js';
import type { Scenario } from '../hardware/sweep.js';
import type { SweepResult } from '../report/sweepResult.js';
import type { SweepScenario } from '../report/sweepScenario.js';
import type { Io } from './io.js';
import { collect, refuseTogether, requireEnding } from './options.js';
import { formatTable } from './table.js';

interface SweepArguments {
  readonly preset?: string;
  readonly set?: readonly string[];
  readonly vary: readonly string[];
  readonly network?: string;
  readonly imageSize?: number;
  readonly task?: string;
  readonly run?: string;
  readonly shareOff?: number;
  readonly piggybackShare?: number;
  readonly testImages?: number;
  readonly pareto: string;
  readonly out?: string;
  readonly chart?: string;
  readonly format: 'table' | 'csv' | 'json';
  readonly json?: boolean;
}

/** `xbm sweep`. */
export function registerSweep(program: Command, io: Io): void {
  program
    .command('sweep')
    .description('explore hardware designs: every combination of constants, policies and mask geometry')
    .requiredOption('--vary <key=values>', 'a key and its values; repeatable', collect)
    .option(
      '--preset <name>',
      'hardware preset or YAML file to start from (default: the run’s own, or nn-imc)',
    )
    .option('--set <key=value>', 'override a constant or policy of the preset; repeatable', collect)
    .option('--network <name>', 'network to price with published shares (default: resnet50)')
    .option(
      '--image-size <pixels>',
      'height and width of the images (default: the run’s, or 224; CIFAR networks: 32)',
      positive,
    )
    .option('--task <task>', 'published shares, classes and test images of this task (default: cubs)')
    .option('--run <folder>', 'a trained xbm run: its learned masks instead of a share')
    .option('--share-off <percent>', 'columns that XBM switches off', percent)
    .option('--piggyback-share <percent>', 'weights that Piggyback switches off', percent)
    .option('--test-images <count>', 'images between two task switches', positive)
    .option('--pareto <x,y>', 'the two totals to trade off', 'areaSquareMillimetres,xbmTotalJoules')
    .option('--out <file>', 'write every point to a .csv or .parquet file')
    .option('--chart <file>', 'draw the Pareto chart to a .svg or .png file')
    .addOption(
      new Option('--format <format>', 'the Pareto front as a table, every point as CSV, or JSON')
        .choices(['table', 'csv', 'json'])
        .default('table'),
    )
    .option('--json', 'short for --format json')
    .addHelpText(
      'after',
      `
Keys: every constant and policy of a hardware description (docs/hardware.md), mask.rows and mask.shareOff (per cent).
Values: a list (64,72,128) or from..to:count with equal ratios.

Examples:
  xbm sweep --vary array.rows=32,64,72,128 --vary array.columns=32,64,72,128 --set policies.adderTree=log2
  xbm sweep --vary write.energyPerCell=0.6..80000:30 --task sketches --out sweep.parquet
  xbm sweep --vary policies.placement=arrays-per-digit,digits-side-by-side --vary mask.shareOff=20,30,40
  xbm sweep --vary array.adcBits=4,5,6,8 --vary array.rows=36,72,144 --set policies.adderTree=log2 --chart pareto.svg
`,
    )
    .action((args: SweepArguments) => runSweep(args, io));
}

function percent(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0 && value <= 100) return value;
  throw new InvalidArgumentError('expected per cent from 0 to 100.');
}

function positive(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 1e9) return value;
  throw new InvalidArgumentError('expected a whole number of at least 1.');
}

async function runSweep(args: SweepArguments, io: Io): Promise<void> {
  const { createSweep } = await import('../hardware/sweep.js');
  const { evaluateSweep, paretoChart, paretoFront } = await import('../report/sweepResult.js');
  const { scenarioLines, sweepScenario } = await import('../report/sweepScenario.js');
  const { parseAxis } = await import('./sweepAxes.js');
  const [x, y, ...more] = args.pareto.split(',').map((name) => name.trim());
  if (!x || !y || more.length > 0) throw new UserError(`--pareto ${args.pareto}: expected two totals, x,y`);
  requireEnding('--out', args.out, ['.csv', '.parquet']);
  requireEnding('--chart', args.chart, ['.svg', '.png']);
  refuseTogether(args, [
    ['run', 'network'],
    ['run', 'task'],
    ['run', 'shareOff'],
  ]);
  const axes = args.vary.map(parseAxis);
  const { network, hardware, scenario, named } =
    args.run === undefined ? await fromPublished(args, io) : await fromRun(args.run, args, io);
  const result = evaluateSweep(createSweep(network, hardware, axes, scenario));
  const front = paretoFront(result, x, y);
  const priced = sweepScenario(network, hardware, scenario, { ...named, set: args.set ?? [] }, result.axes);
  const heading = scenarioLines(priced);
  for (const note of cautions(result, hardware, scenario)) io.stderr(`Note: ${note}\n`);
  if (args.out !== undefined) await writePoints(resolve(io.cwd, args.out), result, io);
  if (args.chart !== undefined) {
    await writeChart(resolve(io.cwd, args.chart), paretoChart(result, x, y, heading), io);
  }
  if (args.format === 'csv' && !args.json) io.stderr(`${heading.join('; ')}\n`);
  await print(args, priced, heading, result, front, [x, y], io);
}

/** What a reader of the points must know. */
function cautions(
  result: SweepResult,
  { array, energy, policies }: HardwareDescription,
  scenario: Scenario,
): string[] {
  const notes: string[] = [];
  const deepestGiven = energy.adderTree.value.length;
  const sweeps = (...keys: string[]): boolean => keys.some((key) => result.axes.includes(key));
  const stages = result.columns.get('deepestAdderTree') as Float64Array;
  const extrapolated = stages.reduce((count, value) => count + Number(value > deepestGiven), 0);
  if (extrapolated > 0) {
    notes.push(
      `${extrapolated} of ${result.points} designs need adder trees of more than ${deepestGiven} stages: energy and area are extrapolated, doubling per stage.`,
    );
    if (policies.adderTree === 'nn-imc') {
      notes.push(
        'NN-IMC’s rule takes powers of two as stages: policies.adderTree=log2 takes as many as are needed.',
      );
    }
  }
  if (scenario.gating?.kind !== 'masks' && sweeps('array.rows', 'mask.rows')) {
    notes.push(
      'XBM’s share of columns off is assumed the same for segments of any rows; the published ones are for 72.',
    );
  }
  if (sweeps('array.rows') && !sweeps('array.adcBits')) {
    notes.push(
      `The ADC keeps its ${array.adcBits.value} bits at every array.rows, although more rows make more levels.`,
    );
  }
  if (sweeps('array.adcBits', 'array.cellBits')) {
    notes.push('Accuracy is not modelled: what fewer ADC or cell bits cost in accuracy does not show here.');
  }
  for (const key of result.idleAxes) {
    notes.push(`${key} changes none of the totals here: the rows of its values are equal.`);
  }
  return notes;
}

interface Prepared {
  readonly network: CrossbarNetwork;
  readonly hardware: HardwareDescription;
  readonly scenario: Scenario;
  readonly named: Pick<SweepScenario, 'task' | 'run'>;
}

async function fromPublished(args: SweepArguments, io: Io): Promise<Prepared> {
  const { ASSUMED_MEAN_LEVEL_CHANGE, publishedTasks } = await import('../hardware/published.js');
  const { loadHardware } = await import('../hardware/load.js');
  const { crossbarNetwork, withHead } = await import('../hardware/network.js');
  const { buildNetwork, naturalImageSize } = await import('../model/networks.js');
  const task = publishedTasks.find(({ name }) => name === (args.task ?? 'cubs'));
  if (!task) {
    const names = publishedTasks.map(({ name }) => name).join(', ');
    throw new UserError(`no published shares of task "${args.task}"`, `Use one of ${names}, or --run.`);
  }
  const graph = buildNetwork(args.network ?? 'resnet50', 1000);
  const imageSize = args.imageSize ?? naturalImageSize(graph.network);
  return {
    network: withHead(crossbarNetwork(graph, imageSize), task.classes),
    hardware: loadHardware(args.preset ?? 'nn-imc', args.set, io.cwd),
    scenario: {
      shareOff: (args.shareOff ?? task.shareOff.xbm) / 100,
      piggybackShareOff: (args.piggybackShare ?? task.shareOff.piggyback) / 100,
      meanLevelChange: ASSUMED_MEAN_LEVEL_CHANGE,
      testImages: args.testImages ?? task.testImages,
    },
    named: { task: task.name, run: null },
  };
}

async function fromRun(run: string, args: SweepArguments, io: Io): Promise<Prepared> {
  const { ASSUMED_MEAN_LEVEL_CHANGE, publishedTasks } = await import('../hardware/published.js');
  const { loadHardware } = await import('../hardware/load.js');
  const { RunFolder } = await import('../runs/runFolder.js');
  const { hardwareOfRuns, readRunResults } = await import('../report/runResults.js');
  const { hardwareForRuns } = await import('../report/runHardware.js');
  const folder = new RunFolder(resolve(io.cwd, run));
  folder.readComplete();
  const { imageSize } = args;
  const results = await readRunResults([folder], { imageSize, needLevels: false });
  const [result] = results.set.results;
  if (result.gating.kind !== 'masks') {
    throw new UserError(
      `${folder.path}: a run of ${result.method}, without column masks`,
      'Name an xbm run.',
    );
  }
  const preset = loadHardware(args.preset ?? hardwareOfRuns([folder]), args.set, io.cwd);
  const published = publishedTasks.find(({ name }) => name === result.task)?.shareOff.piggyback;
  const piggyback = args.piggybackShare ?? published;
  if (args.piggybackShare === undefined) {
    io.stderr(
      published === undefined
        ? `Piggyback: no share is published for ${result.task}, its columns stay empty; --piggyback-share fills them\n`
        : `Piggyback: the published share of ${result.task}, ${published} %\n`,
    );
  }
  return {
    network: results.network,
    hardware: hardwareForRuns(preset, results),
    scenario: {
      shareOff: result.shareOff / 100,
      gating: result.gating,
      piggybackShareOff: piggyback === undefined ? null : piggyback / 100,
      meanLevelChange: ASSUMED_MEAN_LEVEL_CHANGE,
      testImages: args.testImages ?? result.testImages,
    },
    named: { task: result.task, run: basename(folder.path) },
  };
}

async function writePoints(file: string, result: SweepResult, io: Io): Promise<void> {
  const { writeSweepCsv, writeSweepParquet } = await import('../report/sweepResult.js');
  if (file.endsWith('.parquet')) await writeSweepParquet(file, result);
  else await writeSweepCsv(file, result);
  io.stderr(`wrote ${file}\n`);
}

async function writeChart(
  file: string,
  spec: Parameters<typeof import('../report/render.js').renderSvg>[0],
  io: Io,
): Promise<void> {
  const { replaceFile } = await import('../model/replaceFile.js');
  const { renderPng, renderSvg } = await import('../report/render.js');
  const svg = await renderSvg(spec);
  await replaceFile(file, [file.endsWith('.png') ? await renderPng(svg) : Buffer.from(svg)]);
  io.stderr(`wrote ${file}\n`);
}

async function print(
  args: SweepArguments,
  scenario: SweepScenario,
  heading: readonly string[],
  result: SweepResult,
  front: readonly number[],
  [x, y]: readonly [string, string],
  io: Io,
): Promise<void> {
  const { pointCells } = await import('../report/sweepResult.js');
  const { formatCell, tableToCsv } = await import('../report/table.js');
  const header = [...result.columns.keys()];
  const format = args.json ? 'json' : args.format;
  if (format === 'csv') {
    const rows = Array.from({ length: result.points }, (_, point) => pointCells(result, point));
    io.stdout(tableToCsv({ header, rows }));
  } else if (format === 'json') {
    const record = (point: number) =>
      Object.fromEntries(pointCells(result, point).map((cell, i) => [header[i], cell]));
    const { points, axes } = result;
    const summary = { scenario, points, axes, pareto: [x, y], front: front.map(record) };
    io.stdout(`${JSON.stringify(summary)}\n`);
  } else {
    const columns = [...new Set([...result.axes, x, y, 'xbmSavingPercent', 'piggybackTotalJoules'])];
    const at = columns.map((name) => header.indexOf(name));
    const rows = front.map((point) => {
      const cells = pointCells(result, point);
      return at.map((column) => formatCell(cells[column]));
    });
    io.stdout(`${heading.join('; ')}\n`);
    io.stdout(`${result.points.toLocaleString('en-US')} designs; Pareto front of ${x} and ${y}:\n`);
    io.stdout(formatTable(columns, rows));
  }
}
