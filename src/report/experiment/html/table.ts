import { escapeXml } from '../../../escapeXml.js';
import { resultTableToCsv } from '../formats.js';
import {
  type Column,
  formatDeviation,
  formatResult,
  forPeople,
  isNumeric,
  type ResultCell,
  type ResultRow,
  type ResultTable,
} from '../resultTable.js';
import { filterAttributes } from './attributes.js';

/** A table with caption, row headers, notes and its CSV; measured numbers link to their runs. */
export function htmlTable(table: ResultTable): string {
  const { id, title, columns, rows, notes } = forPeople(table);
  const widths = columns.map((column, i) =>
    Math.max(0, ...rows.map(({ cells }) => deviationText(cells[i], column).length)),
  );
  const header = columns
    .map(
      (column) => `<th scope="col"${isNumeric(column) ? ' class="n"' : ''}>${escapeXml(column.title)}</th>`,
    )
    .join('');
  const body = rows.map((row, i) => htmlRow(row, rows[i - 1], columns, widths));
  const csv = `data:text/csv;charset=utf-8,${encodeURIComponent(resultTableToCsv(table))}`;
  const classes = [
    ...(rows.some(({ task }) => task !== undefined) ? ['grouped'] : []),
    ...(hasMethods(columns) ? ['methods'] : []),
  ];
  return [
    `<div class="table" id="${id}">`,
    `<div class="scroll" role="region" aria-labelledby="${id}-caption" tabindex="0">`,
    `<table${classes.length > 0 ? ` class="${classes.join(' ')}"` : ''}>`,
    `<caption id="${id}-caption">${escapeXml(title)}</caption>`,
    `<thead><tr>${header}</tr></thead>`,
    `<tbody>\n${body.join('\n')}\n</tbody>`,
    '</table>',
    '</div>',
    ...notes.map((note) => `<p class="note">${escapeXml(note)}</p>`),
    `<p class="note download"><a href="${escapeXml(csv)}" download="${id}.csv">Download as CSV<span class="hidden">: ${escapeXml(title)}</span></a></p>`,
    '</div>',
  ].join('\n');
}

function htmlRow(
  row: ResultRow,
  previous: ResultRow | undefined,
  columns: readonly Column[],
  widths: readonly number[],
): string {
  const classes = [
    ...(row.total ? ['total'] : []),
    ...(previous && previous.task !== row.task ? ['new'] : []),
  ];
  const target = row.anchor ?? row.group;
  // One tab stop per row; the other numbers lead to the same place.
  const firstLink = columns.findIndex((column, i) => column.measured && row.cells[i] !== null);
  const cells = row.cells.map((cell, i) => {
    const column = columns[i];
    const text = cellHtml(cell, column, widths[i]);
    const linked =
      target !== undefined && column.measured && cell !== null
        ? `<a href="#${target}"${i === firstLink ? '' : ' tabindex="-1"'}>${text}</a>`
        : text;
    const className = isNumeric(column) ? ' class="n"' : '';
    if (i > 0) return `<td${className}>${linked}</td>`;
    const method = hasMethods(columns) ? `<span class="m">${escapeXml(String(row.cells[1]))}</span>` : '';
    return `<th scope="row"${className}>${linked}${method}</th>`;
  });
  const className = classes.length > 0 ? ` class="${classes.join(' ')}"` : '';
  return `<tr${className}${filterAttributes(row)}>${cells.join('')}</tr>`;
}

/** On a phone the method stands below the task, where it stays in sight. */
function hasMethods(columns: readonly Column[]): boolean {
  return columns[1]?.key === 'method';
}

function isSpread(cell: ResultCell): cell is Extract<ResultCell, object> {
  return cell !== null && typeof cell === 'object';
}

function deviationText(cell: ResultCell, column: Column): string {
  return isSpread(cell) ? formatDeviation(cell, column) : '';
}

/** Deviations stand in a box of equal width, so that the means of a column are aligned. */
function cellHtml(cell: ResultCell, column: Column, width: number): string {
  if (!isSpread(cell)) return escapeXml(formatResult(cell, column));
  const mean = formatResult({ ...cell, deviation: null }, column);
  return width === 0
    ? mean
    : `${mean}<span class="d" style="min-width:${width}ch">${deviationText(cell, column).replace(' ±', '\u00a0±')}</span>`;
}
