/** @file Result tables for the terminal, Markdown and CSV. LaTeX: latex.ts, HTML: html/. */
import { type Cell, tableToCsv } from '../table.js';
import { isNumeric, printedCells, type ResultTable, withoutEmptyColumns } from './resultTable.js';

/** Aligned columns for a terminal; numbers to the right. */
export function resultTableToText(full: ResultTable): string {
  const table = withoutEmptyColumns(full);
  const header = table.columns.map(({ title }) => title);
  const rows = alignedMeans(printedCells(table));
  const width = (text: string) => [...text].length;
  const widths = header.map((title, i) => Math.max(width(title), ...rows.map((row) => width(row[i]))));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => {
        const padding = ' '.repeat(widths[i] - width(cell));
        return isNumeric(table.columns[i]) ? padding + cell : cell + padding;
      })
      .join('  ')
      .trimEnd();
  const lines = [table.title, line(header), widths.map((n) => '-'.repeat(n)).join('  '), ...rows.map(line)];
  return `${[...lines, ...table.notes].join('\n')}\n`;
}

/** Means of a column stand below each other, with or without a deviation. */
function alignedMeans(rows: readonly string[][]): string[][] {
  const deviation = (cell: string) => / ± .*$/.exec(cell)?.[0].length ?? 0;
  const widest = rows[0]?.map((_, i) => Math.max(...rows.map((row) => deviation(row[i])))) ?? [];
  return rows.map((row) =>
    row.map((cell, i) => cell + ' '.repeat(cell === '–' ? 0 : widest[i] - deviation(cell))),
  );
}

/** GitHub Markdown. */
export function resultTableToMarkdown(full: ResultTable): string {
  const table = withoutEmptyColumns(full);
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
