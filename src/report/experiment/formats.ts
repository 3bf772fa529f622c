/** @file Result tables for Markdown and CSV. LaTeX: latex.ts, HTML: html/. */
import { type Cell, tableToCsv } from '../table.js';
import { forPeople, isNumeric, printedCells, type ResultTable } from './resultTable.js';

/** GitHub Markdown. */
export function resultTableToMarkdown(full: ResultTable): string {
  const table = forPeople(full);
  const line = (cells: readonly string[]) => `| ${cells.map(escapeMarkdown).join(' | ')} |`;
  const rule = `|${table.columns.map((column) => (isNumeric(column) ? ' ---: ' : ' --- ')).join('|')}|`;
  const rows = printedCells(table).map(line);
  const notes = table.notes.map((note) => `\n${escapeMarkdown(note)}\n`).join('');
  const header = line(table.columns.map(({ title }) => title));
  return `### ${escapeMarkdown(table.title)}\n\n${[header, rule, ...rows].join('\n')}\n${notes}`;
}

/** Text that Markdown must not take for markup. */
export function escapeMarkdown(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replace(/[\\`*_[\]|~]/g, '\\$&')
    .replace(/\s*\n\s*/g, ' ');
}

/** RFC 4180 at full precision: a mean ± deviation takes two columns, the second named `…Deviation`. */
export function resultTableToCsv(table: ResultTable): string {
  const header = table.columns.flatMap(({ key, kind }) =>
    kind === 'spread' ? [key, `${key}Deviation`] : [key],
  );
  const rows = table.rows.map(({ cells }) =>
    cells.flatMap((cell, i): Cell[] => {
      if (table.columns[i].kind !== 'spread') return [cell as Cell];
      return cell !== null && typeof cell === 'object' ? [cell.mean, cell.deviation] : [cell, null];
    }),
  );
  return tableToCsv({ header, rows });
}
