/** @file Result tables for papers: LaTeX with the packages booktabs and graphicx. */
import { wrap } from '../../wrap.js';
import { type Column, forPeople, isNumeric, printedCells, type ResultTable } from './resultTable.js';

const commands: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '{': '\\{',
  '}': '\\}',
  $: '\\$',
  '&': '\\&',
  '#': '\\#',
  '%': '\\%',
  _: '\\_',
  '^': '\\textasciicircum{}',
  '~': '\\textasciitilde{}',
  '<': '\\textless{}',
  '>': '\\textgreater{}',
  '|': '\\textbar{}',
  '"': '\\textquotedbl{}',
  '±': '$\\pm$',
  '−': '$-$',
  '×': '$\\times$',
  '·': '$\\cdot$',
  '≈': '$\\approx$',
  '≤': '$\\leq$',
  '≥': '$\\geq$',
  '²': '$^2$',
  '³': '$^3$',
  µ: '\\textmu{}',
  μ: '\\textmu{}',
  '°': '\\textdegree{}',
  '–': '--',
  '—': '---',
  '…': '\\ldots{}',
  '’': "'",
  '‘': '`',
  '“': '``',
  '”': "''",
  '→': '$\\rightarrow$',
  '†': '\\dag{}',
  Σ: '$\\Sigma$',
  Ω: '$\\Omega$',
  '\u00a0': '~',
  '\n': ' ',
};

/** Text that LaTeX prints as it is (needs T1 fonts and textcomp, in every LaTeX since 2020). */
export function escapeLatex(text: string): string {
  return [...text].map((character) => commands[character] ?? character).join('');
}

/** Characters of a header line, and of text that is not broken. */
const HEADER_LINE = 14;
const TEXT_LINE = 40;

/**
 * A floating table that fits the width of a line; needs the packages booktabs and graphicx. Its label is `tab:<id>`.
 */
export function resultTableToLatex(full: ResultTable): string {
  const table = forPeople(full);
  const line = (cells: readonly string[]) => `    ${cells.map(escapeLatex).join(' & ')} \\\\`;
  const printed = printedCells(table);
  const rows = table.rows.flatMap(({ total }, i) => [
    ...(total && i > 0 && !table.rows[i - 1].total ? ['    \\midrule'] : []),
    line(printed[i]),
  ]);
  return [
    '\\begin{table}',
    '  \\centering',
    `  \\caption{${escapeLatex(table.title)}}`,
    `  \\label{tab:${table.id}}`,
    '  \\small\\setlength{\\tabcolsep}{4pt}',
    // Shrunk only where small print, narrow gaps and broken headers do not suffice.
    '  \\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%',
    `  \\begin{tabular}{${table.columns.map((column, i) => alignment(column, printed, i)).join('')}}`,
    '    \\toprule',
    `    ${table.columns.map(headerCell).join(' & ')} \\\\`,
    '    \\midrule',
    ...rows,
    '    \\bottomrule',
    '  \\end{tabular}}',
    ...table.notes.map((note) => `  \\par\\smallskip\\footnotesize ${escapeLatex(note)}`),
    '\\end{table}',
    '',
  ].join('\n');
}

function alignment(column: Column, rows: readonly string[][], i: number): string {
  if (isNumeric(column)) return 'r';
  return rows.some((cells) => cells[i].length > TEXT_LINE) ? 'p{0.35\\linewidth}' : 'l';
}

/** A long title in lines above each other. */
function headerCell(column: Column): string {
  const lines = wrap(column.title, HEADER_LINE).map(escapeLatex);
  if (lines.length === 1) return lines[0];
  return `\\shortstack[${isNumeric(column) ? 'r' : 'l'}]{${lines.join('\\\\')}}`;
}

/** Every table in one file to \input. */
export function latexDocument(tables: readonly ResultTable[]): string {
  return [
    '% Needs \\usepackage{booktabs}, \\usepackage{graphicx} and \\usepackage[T1]{fontenc}.',
    ...tables.map(resultTableToLatex),
  ].join('\n');
}
