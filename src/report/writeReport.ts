/** @file The hardware report on disk: Markdown, JSON, tables as CSV, charts as SVG and PNG. */

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../folders.js';
import { hardwareJson } from './hardwareJson.js';
import type { HardwareReport } from './hardwareReport.js';
import { hardwareTables } from './hardwareTables.js';
import { reportMarkdown } from './markdown.js';
import { METHOD_ORDER } from './results.js';
import { tableToCsv } from './table.js';
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

/** The files of {@link writeReport} whose names depend on the report. */
export const reportFiles: readonly string[] = [
  ...TABLES.map((id) => join('tables', `${id}.csv`)),
  ...CHARTS.flatMap((id) => ['svg', 'png'].map((ending) => join('charts', `${id}.${ending}`))),
];

/**
 * Writes everything below `folder`; the same report gives the same bytes. Tables and charts of an earlier report in the
 * folder are removed, files of other names stay.
 * @returns the files
 */
export async function writeReport(report: HardwareReport, folder: string): Promise<string[]> {
  const files: string[] = [];
  const write = (path: string, content: string | Uint8Array): void => {
    const file = join(folder, path);
    writeFileSync(file, content);
    files.push(file);
  };
  for (const path of ['', 'tables', 'charts']) makeFolder(join(folder, path));
  for (const path of reportFiles) rmSync(join(folder, path), { force: true });
  write('report.md', reportMarkdown(report, true));
  write('report.json', `${JSON.stringify(hardwareJson(report), null, 2)}\n`);
  write('results.csv', tableToCsv(resultsTable(report)));
  for (const table of hardwareTables(report, true))
    write(join('tables', `${table.id}.csv`), tableToCsv(table));
  const { hardwareCharts } = await import('./hardwareCharts.js');
  const { renderPng, renderSvg } = await import('./render.js');
  for (const { id, spec } of hardwareCharts(report)) {
    const svg = await renderSvg(spec);
    write(join('charts', `${id}.svg`), svg);
    write(join('charts', `${id}.png`), await renderPng(svg));
  }
  return files;
}
