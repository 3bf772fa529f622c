import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadHardware } from '../../../src/hardware/load.js';
import { crossbarNetwork } from '../../../src/hardware/network.js';
import { buildNetwork } from '../../../src/model/networks.js';
import { resultTables } from '../../../src/report/experiment/experimentTables.js';
import { resultTableToCsv, resultTableToMarkdown } from '../../../src/report/experiment/formats.js';
import { escapeLatex, latexDocument, resultTableToLatex } from '../../../src/report/experiment/latex.js';
import {
  decimalsFor,
  formatResult,
  fromTable,
  type ResultTable,
  textColumn,
} from '../../../src/report/experiment/resultTable.js';
import { uniqueSlugs } from '../../../src/report/experiment/slug.js';
import { spreadOf } from '../../../src/report/experiment/statistics.js';
import { hardwareReport } from '../../../src/report/hardwareReport.js';
import { hardwareTables } from '../../../src/report/hardwareTables.js';
import { publishedResults } from '../../../src/report/results.js';
import { temporaryFolder } from '../../runs/fixtures.js';
import { syntheticReport } from './syntheticReport.js';

const table: ResultTable = {
  id: 'example',
  title: 'Energy & 100 % of it',
  columns: [
    textColumn('task'),
    { key: 'energyMicrojoules', title: 'energy (µJ)', kind: 'spread', digits: 2 },
    { key: 'differencePoints', title: 'difference', kind: 'number', digits: 1, signed: true },
  ],
  rows: [
    { cells: ['a|b_c', { mean: 12.345, deviation: 0.5, count: 3 }, -0.25] },
    { cells: ['d', { mean: 1234.5, deviation: null, count: 1 }, 3] },
    { cells: ['total', null, null], total: true },
  ],
  notes: ['80 nJ ± 10 %'],
};

test('Markdown: pipes and markup in names stay text', () => {
  const lines = resultTableToMarkdown(table).split('\n');
  assert.equal(lines[0], '### Energy &amp; 100 % of it');
  assert.equal(lines[3], '| --- | ---: | ---: |');
  assert.equal(lines[4], '| a\\|b\\_c | 12.35 ± 0.50 | −0.3 |');
});

test('CSV: full precision, deviation in a column of its own', () => {
  assert.equal(
    resultTableToCsv(table),
    [
      'task,energyMicrojoules,energyMicrojoulesDeviation,differencePoints',
      'a|b_c,12.345,0.5,-0.25',
      'd,1234.5,,3',
      'total,,,',
      '',
    ].join('\r\n'),
  );
});

test('LaTeX: booktabs, a rule before totals, everything escaped', () => {
  const latex = resultTableToLatex(table);
  assert.match(latex, /\\caption\{Energy \\& 100 \\% of it\}/);
  assert.match(latex, /\\begin\{tabular\}\{lrr\}\n {4}\\toprule\n/);
  assert.ok(latex.includes('a\\textbar{}b\\_c & 12.35 $\\pm$ 0.50 & $-$0.3 \\\\'));
  assert.match(latex, /\+3\.0 \\\\\n {4}\\midrule\n {4}total & -- & -- \\\\\n {4}\\bottomrule/);
  assert.ok(latex.includes('energy (\\textmu{}J)'));
});

test('LaTeX: long headers stand in lines, long texts in a column that breaks', () => {
  const columns = [
    textColumn('command'),
    { key: 'reprogrammingJoules', title: 'reprogramming (J) & more', kind: 'number' } as const,
  ];
  const wide = { ...table, columns, rows: [{ cells: ['xbm train '.repeat(8), 1] }] };
  const latex = resultTableToLatex(wide);
  assert.ok(latex.includes('command & \\shortstack[r]{reprogramming\\\\(J) \\& more} \\\\'), latex);
  assert.ok(latex.includes('\\begin{tabular}{p{0.35\\linewidth}r}'));
});

/** Why there is nothing to typeset with. */
function withoutLatex(): string | false {
  const needs = [
    ['pdflatex', '--version'],
    ['kpsewhich', 'booktabs.sty', 'graphicx.sty'],
  ];
  const isThere = ([command, ...args]: string[]) => spawnSync(command, args).status === 0;
  return !needs.every(isThere) && 'pdflatex with booktabs and graphicx is not installed';
}

function assertTypesets(folder: string, tables: readonly ResultTable[]): void {
  writeFileSync(join(folder, 'tables.tex'), latexDocument(tables));
  writeFileSync(
    join(folder, 'article.tex'),
    '\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,graphicx}\\begin{document}\\input{tables}\\end{document}',
  );
  const { status, stdout } = spawnSync(
    'pdflatex',
    ['-draftmode', '-interaction=nonstopmode', 'article.tex'],
    {
      cwd: folder,
      encoding: 'utf8',
    },
  );
  assert.equal(status, 0, stdout);
  assert.doesNotMatch(stdout, /Overfull/);
}

const skip = withoutLatex();

test('LaTeX: the widest tables of an experiment fit an article', { skip }, async (t) => {
  const missing = [
    {
      task: 'cars',
      method: 'xbm',
      seed: 0,
      variant: null,
      reason: 'it has not been run',
      command: 'xbm train '.repeat(12),
    },
  ] as const;
  const paper = await syntheticReport({ network: 'resnet50', fullPrecision: true });
  assertTypesets(temporaryFolder(t), resultTables({ ...paper, missing }));
});

test('LaTeX: the tables of a hardware report fit an article', { skip }, (t) => {
  const network = crossbarNetwork(buildNetwork('resnet50', 1000), 224);
  const report = hardwareReport(network, loadHardware('nn-imc'), publishedResults(network, 72));
  assertTypesets(
    temporaryFolder(t),
    hardwareTables(report).map((each) => fromTable(each)),
  );
});

test('LaTeX escapes leave no active character of the input', () => {
  assert.equal(
    escapeLatex('\\%$#&_{}~^'),
    '\\textbackslash{}\\%\\$\\#\\&\\_\\{\\}\\textasciitilde{}\\textasciicircum{}',
  );
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii' }), (text) => {
      const rest = escapeLatex(text).replace(/\\(?:[a-z]+\{\}|[%$#&_{}])/g, '');
      assert.doesNotMatch(rest, /[\\%$#&_{}~^<>|"]/);
    }),
  );
});

test('a number that rounds to nothing has no sign', () => {
  const column = table.columns[2];
  assert.equal(formatResult(-0.01, column), '0.0');
  assert.equal(formatResult(0, column), '0');
  assert.equal(formatResult(0.06, column), '+0.1');
});

test('decimals follow the smallest number', () => {
  assert.equal(decimalsFor([30.17, 0.121, null, 0]), 3);
  assert.equal(decimalsFor([1e-9]), 6);
  assert.equal(decimalsFor(['text', 0]), 0);
});

test('mean and sample standard deviation', () => {
  assert.equal(spreadOf([]), null);
  assert.deepEqual(spreadOf([3]), { mean: 3, deviation: null, count: 1 });
  assert.deepEqual(spreadOf([1, 2, 3]), { mean: 2, deviation: 1, count: 3 });
  fc.assert(
    fc.property(fc.double({ noNaN: true, min: 1e-6, max: 1e6 }), fc.integer({ min: 2, max: 9 }), (x, n) => {
      assert.deepEqual(spreadOf(new Array(n).fill(x)), { mean: x, deviation: 0, count: n });
    }),
  );
});

test('slugs are unique file names', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { maxLength: 8 }), (texts) => {
      const slugs = [...uniqueSlugs(texts).values()];
      assert.equal(new Set(slugs).size, texts.length);
      for (const found of slugs) assert.match(found, /^[a-z0-9]+(-[a-z0-9]+)*$/);
    }),
  );
});

test('columns that hold nothing are not printed, CSV keeps them; scaled columns keep their unit in CSV', () => {
  const columns = [
    textColumn('task'),
    { key: 'publishedPercent', title: 'published (%)', kind: 'number' } as const,
    { key: 'totalJoules', title: 'total (mJ)', kind: 'number', digits: 1, scale: 1e3 } as const,
  ];
  const empty = { id: 'x', title: 'x', columns, rows: [{ cells: ['a', null, 0.0125] }], notes: [] };
  assert.match(resultTableToMarkdown(empty), /\| task \| total \(mJ\) \|\n.*\n\| a \| 12\.5 \|/);
  assert.doesNotMatch(resultTableToMarkdown(empty), /published/);
  assert.doesNotMatch(resultTableToLatex(empty), /published/);
  assert.equal(resultTableToCsv(empty), 'task,publishedPercent,totalJoules\r\na,,0.0125\r\n');
});
