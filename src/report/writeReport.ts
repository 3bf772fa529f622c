/** @file The hardware report on disk: Markdown, JSON, tables as CSV, charts as SVG and PNG. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../folders.js';
import { hardwareJson } from './hardwareJson.js';
import type { HardwareReport } from './hardwareReport.js';
import { hardwareTables } from './hardwareTables.js';
import { reportMarkdown } from './markdown.js';
import { tableToCsv } from './table.js';
import { resultsTable } from './taskTables.js';

/** Writes everything below `folder`; the same report gives the same bytes. @returns the files */
export async function writeReport(report: HardwareReport, folder: string): Promise<string[]> {
  const files: string[] = [];
  const write = (path: string, content: string | Uint8Array): void => {
    const file = join(folder, path);
    writeFileSync(file, content);
    files.push(file);
  };
  for (const path of ['', 'tables', 'charts']) makeFolder(join(folder, path));
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
