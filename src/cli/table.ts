export type Cell = string | number | null;

/**
 * A plain table for stdout: aligned columns, two spaces between them; a column of numbers is right-aligned. null shows as
 * a dash.
 */
export function formatTable(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const text = rows.map((row) => row.map((cell) => (cell === null ? '–' : String(cell))));
  const widths = header.map((title, i) =>
    Math.max(...[title, ...text.map((row) => row[i] ?? '')].map(width)),
  );
  const right = header.map((_, i) => rows.length > 0 && rows.every((row) => isNumeric(row[i] ?? null)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => {
        const padding = ' '.repeat(widths[i] - width(cell));
        return right[i] ? padding + cell : cell + padding;
      })
      .join('  ')
      .trimEnd();
  const rule = line(widths.map((n) => '-'.repeat(n)));
  return `${[line(header), rule, ...text.map(line)].join('\n')}\n`;
}

/** Code points: close enough to columns for the characters xbm prints. */
function width(text: string): number {
  return [...text].length;
}

function isNumeric(cell: Cell): boolean {
  return cell === null || typeof cell === 'number' || /^([-+−]?\d[\d.,]*( ?%)?|–)$/.test(cell);
}
