/** @file Result tables for papers: LaTeX with the booktabs package. */
import { forPeople, isNumeric, printedCells, type ResultTable } from './resultTable.js';

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

/** A floating table; needs `\usepackage{booktabs}`. Its label is `tab:<id>`. */
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
    `  \\begin{tabular}{${table.columns.map((column) => (isNumeric(column) ? 'r' : 'l')).join('')}}`,
    '    \\toprule',
    line(table.columns.map(({ title }) => title)),
    '    \\midrule',
    ...rows,
    '    \\bottomrule',
    '  \\end{tabular}',
    ...table.notes.map((note) => `  \\par\\smallskip\\footnotesize ${escapeLatex(note)}`),
    '\\end{table}',
    '',
  ].join('\n');
}

/** Every table in one file to \input. */
export function latexDocument(tables: readonly ResultTable[]): string {
  return [
    '% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}.',
    ...tables.map(resultTableToLatex),
  ].join('\n');
}
