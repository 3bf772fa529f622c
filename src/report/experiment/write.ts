/** @file The report of an experiment on disk. `summary.*` in the same folder is the caller's. */

import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../../folders.js';
import { renderPng } from '../render.js';
import { experimentJson } from './experimentJson.js';
import { dataTables, resultTables, supportingTables } from './experimentTables.js';
import { experimentFigures, standaloneSvg } from './figures.js';
import { resultTableToCsv } from './formats.js';
import { groupRuns } from './groups.js';
import { experimentPage } from './html/page.js';
import { latexDocument } from './latex.js';
import { experimentMarkdown } from './markdown.js';
import type { ExperimentReport } from './types.js';

/**
 * Writes report.{html,md,json}, tables.tex, tables/*.csv and figures/*.{svg,png} below `folder`; the same report gives
 * the same bytes. Tables and figures of an earlier report in the folder are removed.
 * @returns the files
 * @throws UserError when two runs differ in nothing at all
 */
export async function writeExperimentReport(report: ExperimentReport, folder: string): Promise<string[]> {
  const groups = groupRuns(report);
  const figures = await experimentFigures(report, groups);
  const files: string[] = [];
  const write = (path: string, content: string | Uint8Array): void => {
    const file = join(folder, path);
    writeFileSync(file, content);
    files.push(file);
  };
  emptyFolder(join(folder, 'tables'), /\.csv$/);
  emptyFolder(join(folder, 'figures'), /\.(svg|png)$/);
  const results = resultTables(report);
  for (const table of [...results, ...supportingTables(report), ...dataTables(report)]) {
    write(join('tables', `${table.id}.csv`), resultTableToCsv(table));
  }
  for (const figure of figures) {
    const svg = standaloneSvg(figure);
    write(join('figures', `${figure.id}.svg`), svg);
    write(join('figures', `${figure.id}.png`), await renderPng(svg));
  }
  const pictures = figures.map(({ id, caption }) => ({ path: `figures/${id}.svg`, caption }));
  write('report.html', experimentPage(report, figures));
  write('report.md', experimentMarkdown(report, pictures));
  write('report.json', `${JSON.stringify(experimentJson(report), null, 2)}\n`);
  write('tables.tex', latexDocument(results));
  return files;
}

/** Figures of an earlier report would pass for this one's. */
function emptyFolder(folder: string, files: RegExp): void {
  makeFolder(folder);
  for (const name of readdirSync(folder)) if (files.test(name)) rmSync(join(folder, name));
}
