/** @file What tasks cost: energy per image, reprogramming, memory; and the chip that was priced. */
import { publishedMasks, publishedSources } from '../../hardware/published.js';
import { warnings, writeEnergy, writeSource } from '../assumptions.js';
import { savedPercent } from '../hardwareReport.js';
import { hardwareTables } from '../hardwareTables.js';
import type { Table } from '../table.js';
import type { RunGroup } from './groups.js';
import { groupColumns, groupRow } from './groupTable.js';
import { decimalsFor, fromTable, type ResultTable, textColumn } from './resultTable.js';
import { type Spread, spreadOf } from './statistics.js';
import type { Chip, RunCosts } from './types.js';

/** The priced runs of a group on one chip. */
export function costsOf(group: RunGroup, chip: Chip): RunCosts[] {
  return group.runs.flatMap(({ costs }) => costs.filter((cost) => cost.chip === chip.id));
}

/** Groups with costs on a chip. */
export function pricedGroups(groups: readonly RunGroup[], chip: Chip): RunGroup[] {
  return groups.filter((group) => costsOf(group, chip).length > 0);
}

/** Energy per image of a group without its masks, µJ. */
export function unmaskedMicrojoules(group: RunGroup, chip: Chip): number {
  return costsOf(group, chip)[0].withoutMasks.energyPerImageMicrojoules;
}

/** The unit that suits the largest total, and how many of it a joule has. */
export function joulesUnit(costs: readonly RunCosts[]): { unit: string; scale: number } {
  const largest = Math.max(...costs.map(({ totalJoules }) => totalJoules));
  if (largest >= 0.1) return { unit: 'J', scale: 1 };
  return largest >= 1e-4 ? { unit: 'mJ', scale: 1e3 } : { unit: 'µJ', scale: 1e6 };
}

/** Energy per image, over the test set, and of reprogramming; mean over seeds. */
export function energyTable(groups: readonly RunGroup[], chip: Chip, id: string): ResultTable | null {
  const priced = pricedGroups(groups, chip);
  if (priced.length === 0) return null;
  const none = new Set(priced.map((group) => `${unmaskedMicrojoules(group, chip).toPrecision(4)} µJ`));
  const of = (group: RunGroup, value: (costs: RunCosts) => number): Spread =>
    spreadOf(costsOf(group, chip).map(value))!;
  const rows = priced.map((group) => {
    const xbm = xbmOf(group, groups);
    const xbmCosts = xbm ? costsOf(xbm, chip) : [];
    const total = of(group, (costs) => costs.totalJoules);
    return groupRow(group, [
      of(group, (costs) => costs.energyPerImageMicrojoules),
      of(group, savedPercent),
      of(group, (costs) => costs.inferenceTestSetJoules),
      of(group, (costs) => costs.reprogrammingJoules),
      total,
      xbmCosts.length > 0
        ? total.mean / spreadOf(xbmCosts.map(({ totalJoules }) => totalJoules))!.mean
        : null,
      costsOf(group, chip)[0].cellWritePicojoules,
      writeSource(chip.report.hardware),
    ]);
  });
  const first = groupColumns.length;
  const digits = (column: number, scale = 1) =>
    decimalsFor(
      rows.map(({ cells }) => cells[first + column]),
      scale,
    );
  const { unit, scale } = joulesUnit(priced.flatMap((group) => costsOf(group, chip)));
  const joules = { kind: 'spread', digits: Math.max(digits(2, scale), digits(3, scale)), scale } as const;
  return {
    id,
    title: `Energy on ${chip.id}`,
    columns: [
      ...groupColumns,
      {
        key: 'energyPerImageMicrojoules',
        title: 'per image (µJ)',
        kind: 'spread',
        digits: digits(0),
        measured: true,
      },
      { key: 'savedPercent', title: 'saved (%)', kind: 'spread', digits: 1, measured: true },
      { key: 'inferenceTestSetJoules', title: `test set (${unit})`, ...joules, measured: true },
      { key: 'reprogrammingJoules', title: `reprogramming (${unit})`, ...joules, measured: true },
      { key: 'totalJoules', title: `total (${unit})`, ...joules, measured: true },
      { key: 'ratioToXbm', title: 'total / xbm’s', kind: 'number', digits: 2 },
      // The same in every row: people read them in the notes.
      { key: 'cellWritePicojoules', title: 'per cell write (pJ)', kind: 'number', inCsvOnly: true },
      { ...textColumn('cellWriteSource'), inCsvOnly: true },
    ],
    rows,
    notes: [
      `Saved: per image, against the same chip without masks (${[...none].join(', ')}). Total: reprogramming once from the backbone, then inference over the test set.`,
      `${writeEnergy(chip.report)}.`,
      'The authors’ energy charts carry no numbers, so there is nothing to subtract.',
    ],
  };
}

/** What a group is compared with: XBM of the same task, test images, precision and variant. */
function xbmOf(group: RunGroup, groups: readonly RunGroup[]): RunGroup | undefined {
  const { task, precision, runs } = group;
  const [{ summary }] = runs;
  const same = groups.filter(
    (other) =>
      other.task === task &&
      other.precision === precision &&
      other.runs[0].summary.testImages === summary.testImages,
  );
  const xbm = same.filter(({ method }) => method === 'xbm');
  return (
    xbm.find((other) => other.runs[0].variant === runs[0].variant) ?? (xbm.length === 1 ? xbm[0] : undefined)
  );
}

/** Size of the masks and of what else a task keeps. */
export function memoryTable(groups: readonly RunGroup[]): ResultTable {
  const rows = groups.map((group) => {
    const [{ summary, costs }] = group.runs;
    const element = groups.find(
      (other) =>
        other.task === group.task &&
        other.precision === group.precision &&
        other.runs[0].summary.granularity === 'element' &&
        other.runs[0].summary.network === summary.network,
    )?.runs[0].summary.maskBits;
    const masked = summary.maskBits > 0;
    return groupRow(group, [
      masked ? summary.maskBits : null,
      masked ? summary.maskBytes / 1000 : null,
      masked && element !== undefined ? (100 * summary.maskBits) / element : null,
      costs.length > 0 ? costs[0].memoryBytes.total / 1000 : null,
      summary.taskBytes / 1000,
    ]);
  });
  const isPublished = groups.some(
    ({ method, runs: [{ summary }] }) => method === 'xbm' && summary.network === 'resnet50',
  );
  const maskDigits = decimalsFor(rows.map(({ cells }) => cells[groupColumns.length + 1]));
  return {
    id: 'mask-memory',
    title: 'Memory per task',
    columns: [
      ...groupColumns,
      { key: 'maskBits', title: 'mask bits', kind: 'number', digits: 0, measured: true },
      { key: 'maskKilobytes', title: 'masks (kB)', kind: 'number', digits: maskDigits, measured: true },
      { key: 'percentOfElementMasks', title: 'of element masks (%)', kind: 'number', digits: 2 },
      { key: 'chipKilobytes', title: 'on the chip (kB)', kind: 'number', digits: 1, measured: true },
      { key: 'taskFileKilobytes', title: 'task file (kB)', kind: 'number', digits: 1, measured: true },
    ],
    rows,
    notes: [
      '1 kB is 1,000 bytes. On the chip: masks, own weights, folded batch norm and head. The task file also keeps batch-norm statistics.',
      ...(isPublished
        ? [
            `Published: ${publishedMasks.kilobytes} KB, ${publishedMasks.percentOfPiggyback} % of Piggyback’s (${publishedSources.masks}).`,
          ]
        : []),
    ],
  };
}

/** How reprogramming and what it is compared with hang on the write energy. */
const SENSITIVITY_TABLES = [
  'sensitivity-reprogramming',
  'sensitivity-write-energy',
  'sensitivity-switching',
  'sensitivity-accuracy',
];

/** Tables of the hardware report that tell of the chip, in this order. */
const CHIP_TABLES = [
  'energy-components',
  'area',
  'latency',
  ...SENSITIVITY_TABLES,
  'claims',
  'policies',
  'assumptions',
  'constants',
];

/** Of these the ones that one set of runs speaks for. */
const OF_RUNS: readonly string[] = ['energy-components', 'claims', ...SENSITIVITY_TABLES];

/** The chip: components, area, latency, claims, assumptions; ids end in `suffix`. */
export function chipTables(chip: Chip, suffix: string): ResultTable[] {
  const tables = hardwareTables(chip.report);
  return CHIP_TABLES.flatMap((id) => {
    const table = tables.find((candidate) => candidate.id === id);
    if (!table) return [];
    const notes = OF_RUNS.includes(id) ? [...table.notes, `With masks: runs of ${chip.runs}.`] : table.notes;
    return [{ ...fromTable(table, digitsOf(table)), id: `${id}${suffix}`, notes }];
  });
}

/** Decimals by column, where a column holds one unit. */
function digitsOf({ id, header, rows }: Table): number[] {
  if (id === 'area') return [0, 1, 4, 2];
  if (id !== 'energy-components') return [];
  return header.map((_, i) => Math.min(4, decimalsFor(rows.map((row) => row[i]))));
}

/** What a reader must know before trusting the energies of a chip. */
export function chipTable(chip: Chip, id: string): ResultTable {
  return {
    id,
    title: `Limits of the cost model: ${chip.id}`,
    columns: [textColumn('limit')],
    rows: warnings(chip.report).map((text) => ({ cells: [text] })),
    notes: [],
  };
}
