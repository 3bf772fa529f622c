/** @file Tables that reports are made of, as Markdown and CSV. Numbers stay numbers until they are printed. */

import { csvField } from '../csv.js';

export type Cell = string | number | null;

export interface Table {
  /** A file name for its CSV: lower-case words with dashes. */
  readonly id: string;
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  /** Where the numbers come from and what they mean; one line each. */
  readonly notes: readonly string[];
}

/** Four significant digits, plain notation between 0.001 and ten million. */
export function formatCell(cell: Cell): string {
  if (cell === null) return '–';
  if (typeof cell === 'string') return cell;
  if (!Number.isFinite(cell)) return String(cell);
  if (cell === 0) return '0';
  const magnitude = Math.abs(cell);
  if (magnitude < 1e-3) return cell.toExponential(2);
  if (Number.isInteger(cell) || magnitude >= 1e4) return Math.round(cell).toLocaleString('en-US');
  return String(Number(cell.toPrecision(4)));
}

/** GitHub Markdown. */
export function tableToMarkdown(table: Table): string {
  const quoted = (text: string) => text.replaceAll('|', '\\|');
  const line = (cells: readonly string[]) => `| ${cells.map(quoted).join(' | ')} |`;
  const numeric = table.header.map((_, i) => table.rows.some((row) => typeof row[i] === 'number'));
  const rule = `|${numeric.map((right) => (right ? ' ---: ' : ' --- ')).join('|')}|`;
  const rows = table.rows.map((row) => line(row.map(formatCell)));
  const notes = table.notes.map((note) => `\n${note}\n`).join('');
  return `### ${table.title}\n\n${[line(table.header), rule, ...rows].join('\n')}\n${notes}`;
}

/** RFC 4180, full precision, empty for a missing value. */
export function tableToCsv(table: Pick<Table, 'header' | 'rows'>): string {
  const field = (cell: Cell) => csvField(cell === null ? '' : String(cell));
  return `${[table.header, ...table.rows].map((row) => row.map(field).join(',')).join('\r\n')}\r\n`;
}
