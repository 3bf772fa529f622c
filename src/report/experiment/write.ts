/** @file The report of an experiment on disk. `summary.*` in the same folder is the caller's. */

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../../folders.js';
import { replaceFiles } from '../../model/replaceFile.js';
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
 * @throws UserError when two runs differ in nothing at all, or the files cannot be written; an earlier report is then intact
 */
export async function writeExperimentReport(report: ExperimentReport, folder: string): Promise<string[]> {
  const groups = groupRuns(report);
  const figures = await experimentFigures(report, groups);
  const files = new Map<string, [Uint8Array]>();
  const add = (path: string, content: string | Uint8Array): void => {
    files.set(join(folder, path), [typeof content === 'string' ? Buffer.from(content) : content]);
  };
  const results = resultTables(report);
  for (const table of [...results, ...supportingTables(report), ...dataTables(report)]) {
    add(join('tables', `${table.id}.csv`), resultTableToCsv(table));
  }
  for (const figure of figures) {
    const svg = standaloneSvg(figure);
    add(join('figures', `${figure.id}.svg`), svg);
    add(join('figures', `${figure.id}.png`), await renderPng(svg));
  }
  const pictures = figures.map(({ id, caption }) => ({ path: `figures/${id}.svg`, caption }));
  add('report.html', experimentPage(report, figures));
  add('report.md', experimentMarkdown(report, pictures));
  add('report.json', `${JSON.stringify(experimentJson(report), null, 2)}\n`);
  add('tables.tex', latexDocument(results));
  for (const path of ['', 'tables', 'figures']) makeFolder(join(folder, path));
  await replaceFiles(files);
  removeOthers(join(folder, 'tables'), /\.csv$/, files);
  removeOthers(join(folder, 'figures'), /\.(svg|png)$/, files);
  return [...files.keys()];
}

/** Figures of an earlier report would pass for this one's. */
function removeOthers(folder: string, pattern: RegExp, files: ReadonlyMap<string, unknown>): void {
  for (const name of readdirSync(folder)) {
    const file = join(folder, name);
    if (pattern.test(name) && !files.has(file)) rmSync(file);
  }
}
