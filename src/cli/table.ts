import { wrap } from '../wrap.js';

export type Cell = string | number | null;

/** Between two columns. */
const GAP = '  ';

/**
 * A plain table for stdout: aligned columns, two spaces between them; a column of numbers is right-aligned. null shows as
 * a dash.
 * @param columns of the terminal: wider tables have their widest texts broken at spaces; null: one line per row
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
  columns: number | null = null,
): string {
  const text = rows.map((row) => row.map((cell) => (cell === null ? '–' : String(cell))));
  const right = header.map((_, i) => rows.length > 0 && rows.every((row) => isNumeric(row[i] ?? null)));
  const cellsOf = header.map((title, i) => [title, ...text.map((row) => row[i] ?? '')]);
  const widths = columnWidths(cellsOf, right, columns);
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => {
        const padding = ' '.repeat(Math.max(0, widths[i] - width(cell)));
        return right[i] ? padding + cell : cell + padding;
      })
      .join(GAP)
      .trimEnd();
  const row = (cells: readonly string[]): string[] => {
    const parts = cells.map((cell, i) => (width(cell) > widths[i] ? wrap(cell, widths[i]) : [cell]));
    const height = Math.max(1, ...parts.map(({ length }) => length));
    return Array.from({ length: height }, (_, n) => line(parts.map((part) => part[n] ?? '')));
  };
  const rule = line(widths.map((n) => '-'.repeat(n)));
  return `${[...row(header), rule, ...text.flatMap(row)].join('\n')}\n`;
}

/** As wide as their cells; where that is too much in all, the widest columns of texts give way down to their longest word. */
function columnWidths(
  cellsOf: readonly (readonly string[])[],
  right: readonly boolean[],
  columns: number | null,
): number[] {
  const widths = cellsOf.map((cells) => Math.max(...cells.map(width)));
  const longestWords = cellsOf.map((cells, i) =>
    right[i] ? widths[i] : Math.max(...cells.flatMap((cell) => cell.split(' ').map(width))),
  );
  let excess =
    columns === null ? 0 : widths.reduce((sum, n) => sum + n, GAP.length * (widths.length - 1)) - columns;
  for (; excess > 0; excess--) {
    let widest = -1;
    widths.forEach((n, i) => {
      if (n > longestWords[i] && (widest < 0 || n > widths[widest])) widest = i;
    });
    if (widest < 0) break;
    widths[widest]--;
  }
  return widths;
}

/** Code points: close enough to columns for the characters xbm prints. */
function width(text: string): number {
  return [...text].length;
}

function isNumeric(cell: Cell): boolean {
  return cell === null || typeof cell === 'number' || /^([-+−]?\d[\d.,]*( ?%)?|–)$/.test(cell);
}
