/** @file All points of a sweep in columns, its Pareto front, and the files it goes to. */
import type { TopLevelSpec } from 'vega-lite';
import { UserError } from '../errors.js';
import { type Axis, SWEEP_TOTALS, type Sweep, type SweepTotals } from '../hardware/sweep.js';
import { replaceFile } from '../model/replaceFile.js';
import { type Cell, tableToCsv } from './table.js';

/** A bigger sweep belongs into several. */
export const MAX_POINTS = 1_000_000;

export interface SweepResult {
  readonly points: number;
  readonly axes: readonly string[];
  /** Axes on whose values no total depends. */
  readonly idleAxes: readonly string[];
  /** One column per axis, then one per total, all of `points` entries; NaN: unknown. */
  readonly columns: ReadonlyMap<string, Float64Array | readonly string[]>;
}

/** Totals of which more is better. */
const MORE_IS_BETTER: ReadonlySet<string> = new Set([
  'utilisationPercent',
  'xbmSavingPercent',
  'imagesPerSecond',
]);

/**
 * Prices every point.
 * @throws UserError when there are too many, or one cannot be priced: the message names its values
 */
export function evaluateSweep(sweep: Sweep): SweepResult {
  const { points, axes } = sweep;
  if (points > MAX_POINTS) {
    throw new UserError(
      `${points.toLocaleString('en-US')} points; a sweep has at most ${MAX_POINTS.toLocaleString('en-US')}`,
      'Give fewer values, or sweep in parts.',
    );
  }
  const totals = SWEEP_TOTALS.map((name) => ({ name, data: new Float64Array(points) }));
  const values: (string | number)[][] = axes.map(() => new Array(points));
  for (let point = 0; point < points; point++) {
    const at = sweep.valuesAt(point);
    let row: SweepTotals;
    try {
      row = sweep.totalsAt(point);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const { message, hint } = error;
      const where = axes.map(({ key }, i) => `${key}=${at[i]}`).filter((one) => !message.includes(one));
      throw new UserError(where.length > 0 ? `${where.join(' ')}: ${message}` : message, hint);
    }
    at.forEach((value, i) => {
      values[i][point] = value;
    });
    for (const { name, data } of totals) data[point] = row[name] ?? Number.NaN;
  }
  const columns = new Map<string, Float64Array | readonly string[]>();
  axes.forEach(({ key }, i) => {
    const column = values[i];
    const numeric = column.every((value) => typeof value === 'number');
    columns.set(key, numeric ? Float64Array.from(column as number[]) : column.map(String));
  });
  for (const { name, data } of totals) columns.set(name, data);
  return {
    points,
    axes: axes.map(({ key }) => key),
    idleAxes: idleAxes(
      axes,
      totals.map(({ data }) => data),
    ),
    columns,
  };
}

/** The points that no other point beats in both totals, along the first one. */
export function paretoFront(result: SweepResult, first: string, second: string): number[] {
  const oriented = (name: string): Float64Array => {
    const column = result.columns.get(name);
    if (!(column instanceof Float64Array)) {
      throw new UserError(
        `no numeric column "${name}"`,
        `Choose from ${[...result.columns.keys()].join(', ')}.`,
      );
    }
    if (column.some(Number.isNaN)) {
      throw new UserError(`${name} is unknown here`, 'Give --piggyback-share, or trade off other totals.');
    }
    return MORE_IS_BETTER.has(name) ? column.map((value) => -value) : column;
  };
  const [x, y] = [oriented(first), oriented(second)];
  const order = Array.from(x, (_, i) => i).sort((a, b) => x[a] - x[b] || y[a] - y[b] || a - b);
  const front: number[] = [];
  let best = Number.POSITIVE_INFINITY;
  for (const point of order) {
    if (y[point] < best) {
      front.push(point);
      best = y[point];
    }
  }
  return front;
}

/** One point as cells in column order. */
export function pointCells(result: SweepResult, point: number): Cell[] {
  return [...result.columns.values()].map((column) => cellOf(column[point]));
}

const cellOf = (value: string | number): Cell => (Number.isNaN(value) ? null : value);

/** Axes on whose values no total depends. */
function idleAxes(axes: readonly Axis[], totals: readonly Float64Array[]): string[] {
  const idle: string[] = [];
  let stride = 1;
  for (const { key, values } of [...axes].reverse()) {
    const isSame = (total: Float64Array): boolean =>
      total.every(
        (value, point) =>
          Math.floor(point / stride) % values.length === 0 || Object.is(value, total[point - stride]),
      );
    if (values.length > 1 && totals.every(isSame)) idle.unshift(key);
    stride *= values.length;
  }
  return idle;
}

/** Writes all points as CSV, in pieces, in one atomic step. @throws UserError when the disk is full */
export async function writeSweepCsv(file: string, result: SweepResult): Promise<void> {
  await replaceFile(file, csvPieces(result));
}

function* csvPieces(result: SweepResult): Generator<Uint8Array> {
  const PIECE = 10_000;
  for (let start = 0; start < Math.max(1, result.points); start += PIECE) {
    const count = Math.min(PIECE, result.points - start);
    const rows = Array.from({ length: count }, (_, i) => pointCells(result, start + i));
    const csv = tableToCsv({ header: [...result.columns.keys()], rows });
    yield Buffer.from(start === 0 ? csv : csv.slice(csv.indexOf('\r\n') + 2));
  }
}

/** Writes all points as Parquet, doubles and texts, in one atomic step. @throws UserError when the disk is full */
export async function writeSweepParquet(file: string, result: SweepResult): Promise<void> {
  const { parquetWriteBuffer } = await import('hyparquet-writer');
  const bytes = parquetWriteBuffer({
    columnData: [...result.columns].map(([name, data]) => ({
      name,
      data: data instanceof Float64Array && !data.some(Number.isNaN) ? data : Array.from(data, cellOf),
      type: data instanceof Float64Array ? ('DOUBLE' as const) : ('STRING' as const),
    })),
  });
  await replaceFile(file, [new Uint8Array(bytes)]);
}

/** Names with units, for axes and tables. */
export const TOTAL_NAMES: Readonly<Record<keyof SweepTotals, string>> = {
  arrays: 'arrays',
  utilisationPercent: 'cells used (%)',
  activationsPerImage: 'array activations per image',
  energyPerImageMicrojoules: 'energy per image without masks (µJ)',
  xbmEnergyPerImageMicrojoules: 'energy per image with XBM (µJ)',
  xbmSavingPercent: 'energy saved per image (%)',
  deepestAdderTree: 'stages of the deepest adder tree',
  areaSquareMillimetres: 'area (mm²)',
  latencyMilliseconds: 'latency per image (ms)',
  imagesPerSecond: 'images/s',
  maskBytes: 'mask bytes',
  cellWritePicojoules: 'energy per cell write (pJ)',
  piggybackReprogrammingJoules: 'Piggyback reprogramming (J)',
  finetuneReprogrammingJoules: 'Finetune reprogramming (J)',
  xbmTotalJoules: 'XBM, one switch and the test set (J)',
  piggybackTotalJoules: 'Piggyback, one switch and the test set (J)',
  finetuneTotalJoules: 'Finetune, one switch and the test set (J)',
};

const nameOf = (column: string): string => TOTAL_NAMES[column as keyof SweepTotals] ?? column;

/**
 * All points in grey, the front in blue; a large sweep is thinned evenly.
 * @param heading lines that say what is priced
 */
export function paretoChart(
  result: SweepResult,
  first: string,
  second: string,
  heading: readonly string[],
): TopLevelSpec {
  const MAX_DRAWN = 4000;
  const [x, y] = [result.columns.get(first)!, result.columns.get(second)!];
  const step = Math.max(1, Math.ceil(result.points / MAX_DRAWN));
  const all = Array.from({ length: Math.ceil(result.points / step) }, (_, i) => i * step);
  const values = (points: readonly number[]) =>
    points.map((point) => ({ x: x[point], y: y[point], what: '' }));
  const drawn = values(all).map((value) => ({ ...value, what: 'designs' }));
  const front = values(paretoFront(result, first, second)).map((value) => ({
    ...value,
    what: 'Pareto front',
  }));
  const scaleOf = (column: ArrayLike<string | number>) => {
    const numbers = Array.from(column, Number);
    const low = numbers.reduce((a, b) => Math.min(a, b));
    const wide = low > 0 && numbers.reduce((a, b) => Math.max(a, b)) > 20 * low;
    return wide ? { type: 'log' as const } : { zero: false, nice: true };
  };
  const kinds = { domain: ['designs', 'Pareto front'], range: ['#bbbbbb', '#0072B2'] };
  return {
    title: { text: `${result.points.toLocaleString('en-US')} designs`, subtitle: [...heading] },
    width: 400,
    height: 280,
    layer: [
      { data: { values: drawn }, mark: { type: 'point', filled: true, size: 14, opacity: 0.7 } },
      { data: { values: front }, mark: { type: 'line', interpolate: 'step-after', strokeWidth: 1.5 } },
      { data: { values: front }, mark: { type: 'point', filled: true, size: 40, opacity: 1 } },
    ],
    encoding: {
      x: { field: 'x', type: 'quantitative', title: nameOf(first), scale: scaleOf(x) },
      y: { field: 'y', type: 'quantitative', title: nameOf(second), scale: scaleOf(y) },
      color: { field: 'what', type: 'nominal', title: null, scale: kinds, legend: { orient: 'top' } },
    },
  };
}
