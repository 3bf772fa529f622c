/** @file Tables of results: numbers with units, fixed decimals per column, mean ± deviation, rows that know their runs. */
import { formatCell, type Table } from '../table.js';
import type { Spread } from './statistics.js';

export interface Column {
  /** In CSV and JSON: camelCase with the unit, such as `accuracyPercent`. */
  readonly key: string;
  /** As printed, with the unit: `accuracy (%)`. */
  readonly title: string;
  readonly kind: 'text' | 'number' | 'spread';
  /** Decimals; `significant`: four significant digits, cell by cell. */
  readonly digits?: number | 'significant';
  /** Printed numbers are the cells' times this: the title has the unit then, CSV the key's. */
  readonly scale?: number;
  /** Print a plus sign. */
  readonly signed?: boolean;
  /** Measured by the row's runs: linked to them. */
  readonly measured?: boolean;
  /** For programs: not printed. */
  readonly inCsvOnly?: boolean;
}

export type ResultCell = string | number | Spread | null;

export interface ResultRow {
  readonly cells: readonly ResultCell[];
  readonly task?: string;
  readonly method?: string;
  /** Id of the group of runs that it tells of. */
  readonly group?: string;
  /** Where its details are, if not at its group. */
  readonly anchor?: string;
  /** Adds up or averages the rows above. */
  readonly total?: boolean;
}

export interface ResultTable {
  /** A file name: lower-case words with dashes. */
  readonly id: string;
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly ResultRow[];
  readonly notes: readonly string[];
}

export const textColumn = (key: string, title = key): Column => ({ key, title, kind: 'text' });

/** A cell as people read it. */
export function formatResult(cell: ResultCell, column: Column): string {
  if (cell === null) return '–';
  if (typeof cell === 'string') return cell;
  if (typeof cell === 'number') return formatNumber(cell, column);
  return formatNumber(cell.mean, column) + formatDeviation(cell, column);
}

/** " ± 0.41"; empty for one value, and for equal ones: an energy that depends on nothing that was drawn. */
export function formatDeviation({ deviation }: Spread, column: Column): string {
  return deviation === null || deviation === 0 ? '' : ` ± ${formatNumber(deviation, column)}`;
}

function formatNumber(number: number, { digits = 2, signed, scale = 1 }: Column): string {
  const value = number * scale;
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return '0';
  if (digits === 'significant') return formatCell(value).replace('-', '−');
  const text = Math.abs(value).toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  const isZero = !/[1-9]/.test(text);
  if (isZero) return text;
  return value < 0 ? `−${text}` : signed ? `+${text}` : text;
}

/** Decimals that show three significant digits of the smallest number that is not 0; at most 6. */
export function decimalsFor(cells: readonly ResultCell[], scale = 1): number {
  const sizes = cells.flatMap((cell) => {
    const value = typeof cell === 'number' ? cell : typeof cell === 'object' ? (cell?.mean ?? 0) : 0;
    return value === 0 ? [] : [Math.abs(value * scale)];
  });
  if (sizes.length === 0) return 0;
  return Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(Math.min(...sizes)))));
}

export function isNumeric(column: Column): boolean {
  return column.kind !== 'text';
}

/** For people: without the columns that hold nothing in any row or are meant for programs; CSV keeps them. */
export function forPeople(table: ResultTable): ResultTable {
  const { columns, rows } = table;
  const isKept = columns.map(
    ({ inCsvOnly }, i) => !inCsvOnly && (rows.length === 0 || rows.some(({ cells }) => cells[i] !== null)),
  );
  return {
    ...table,
    columns: columns.filter((_, i) => isKept[i]),
    rows: rows.map((row) => ({ ...row, cells: row.cells.filter((_, i) => isKept[i]) })),
  };
}

/** Rows as printed. */
export function printedCells(table: ResultTable): string[][] {
  return table.rows.map(({ cells }) => cells.map((cell, i) => formatResult(cell, table.columns[i])));
}

/** A table of the hardware report. @param digits decimals by column; where missing, four significant digits */
export function fromTable(
  { id, title, header, rows, notes }: Table,
  digits: readonly number[] = [],
): ResultTable {
  return {
    id,
    title,
    columns: header.map((name, i) => {
      const numeric = rows.some((row) => typeof row[i] === 'number');
      return {
        key: name,
        title: name,
        kind: numeric ? 'number' : 'text',
        digits: digits[i] ?? 'significant',
      };
    }),
    rows: rows.map((cells) => ({ cells, ...(cells[0] === 'total' ? { total: true } : {}) })),
    notes,
  };
}
