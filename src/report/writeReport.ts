/** @file The hardware report on disk: Markdown, JSON, tables as CSV and LaTeX, charts as SVG and PNG. */

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { firstThree, UserError } from '../errors.js';
import { makeFolder } from '../folders.js';
import { replaceFiles } from '../model/replaceFile.js';
import { latexDocument } from './experiment/latex.js';
import { fromTable } from './experiment/resultTable.js';
import { hardwareJson } from './hardwareJson.js';
import type { HardwareReport } from './hardwareReport.js';
import { hardwareTables } from './hardwareTables.js';
import { reportMarkdown } from './markdown.js';
import { METHOD_ORDER } from './results.js';
import { type Table, tableToCsv } from './table.js';
import { resultsTable } from './taskTables.js';

/** Every table and chart that a report may have. */
const TABLES = [
  ...[
    'accuracy',
    'energy-per-image',
    'saving-per-image',
    'uniform-share',
    'inference',
    'reprogramming',
    'total',
  ],
  ...['ratio-to-xbm', 'ratio-to-inference', ...METHOD_ORDER.map((method) => `switching-${method}`), 'wear'],
  ...['energy-components', 'area', 'latency', 'memory', 'claims', 'policies', 'assumptions', 'constants'],
  ...[
    'sensitivity-reprogramming',
    'sensitivity-write-energy',
    'sensitivity-switching',
    'sensitivity-accuracy',
    'layers',
  ],
];
const CHARTS = [
  'area',
  'energy-per-layer',
  'energy-per-image',
  'reprogramming-and-inference',
  'saving-by-write-energy',
];

/** What the CSV files have no place for: what their numbers mean and hang on, as the write energy. */
function notesOf(tables: readonly Table[]): Pick<Table, 'header' | 'rows'> {
  const rows = tables.flatMap(({ id, title, notes }) => notes.map((note) => [id, title, note]));
  return { header: ['table', 'title', 'note'], rows };
}

/** The files of {@link writeReport} whose names depend on the report. */
export const reportFiles: readonly string[] = [
  ...TABLES.map((id) => join('tables', `${id}.csv`)),
  ...CHARTS.flatMap((id) => ['svg', 'png'].map((ending) => join('charts', `${id}.${ending}`))),
];

/** What every report has. */
const ALWAYS = ['report.json', 'report.md', 'tables.tex', 'results.csv', join('tables', 'notes.csv')];

/** Of {@link hardwareJson}, what no report of another kind has. */
const ownReport = z.object({ network: z.string(), preset: z.string(), arrayActivationsPerImage: z.number() });

/**
 * Before {@link writeReport}, unless it is forced.
 * @throws UserError when files that it would replace or remove are not those of a hardware report
 */
export function requireOwnReport(folder: string): void {
  const taken = [...ALWAYS, ...reportFiles].filter((path) => existsSync(join(folder, path)));
  if (taken.length === 0 || isOwnReport(join(folder, 'report.json'))) return;
  throw new UserError(
    `${folder}: is no folder of a hardware report, but holds ${firstThree(taken)}`,
    'Choose another folder with --out, or add --force to replace these files.',
  );
}

/** A damaged one cannot be told from that of somebody else. */
function isOwnReport(file: string): boolean {
  try {
    return ownReport.safeParse(JSON.parse(readFileSync(file, 'utf8'))).success;
  } catch {
    return false;
  }
}

/**
 * Writes everything below `folder`; the same report gives the same bytes. Tables and charts of an earlier report in the
 * folder are removed, files of other names stay.
 * @returns the files
 * @throws UserError when they cannot be written; an earlier report is then intact
 */
export async function writeReport(report: HardwareReport, folder: string): Promise<string[]> {
  const { hardwareCharts } = await import('./hardwareCharts.js');
  const { renderPng, renderSvg } = await import('./render.js');
  const files = new Map<string, [Uint8Array]>();
  const add = (path: string, content: string | Uint8Array): void => {
    files.set(join(folder, path), [typeof content === 'string' ? Buffer.from(content) : content]);
  };
  // First: a folder in which a killed process has begun is known as a report's.
  add('report.json', `${JSON.stringify(hardwareJson(report), null, 2)}\n`);
  add('report.md', reportMarkdown(report, true));
  add('tables.tex', latexDocument(hardwareTables(report).map((table) => fromTable(table))));
  add('results.csv', tableToCsv(resultsTable(report)));
  const tables = hardwareTables(report, true);
  for (const table of tables) add(join('tables', `${table.id}.csv`), tableToCsv(table));
  add(join('tables', 'notes.csv'), tableToCsv(notesOf(tables)));
  for (const { id, spec } of hardwareCharts(report)) {
    const svg = await renderSvg(spec);
    add(join('charts', `${id}.svg`), svg);
    add(join('charts', `${id}.png`), await renderPng(svg));
  }
  for (const path of ['', 'tables', 'charts']) makeFolder(join(folder, path));
  await replaceFiles(files);
  for (const file of reportFiles.map((path) => join(folder, path)))
    if (!files.has(file)) rmSync(file, { force: true });
  return [...files.keys()];
}
