/** @file report.html: one file that opens from disk, without network; every number and figure leads to its runs. */
import { createHash } from 'node:crypto';
import { escapeXml } from '../../../escapeXml.js';
import { warnings } from '../../assumptions.js';
import { resultTables, supportingTables } from '../experimentTables.js';
import { chipSuffix, type Figure, type FigureSection } from '../figures.js';
import { groupRuns, methodsIn, tasksOf } from '../groups.js';
import { remarksOf } from '../remarks.js';
import type { ResultTable } from '../resultTable.js';
import type { Chip, ExperimentReport } from '../types.js';
import { filterAttributes } from './attributes.js';
import { htmlFigure } from './figure.js';
import { htmlCode, htmlRuns } from './runs.js';
import { SCRIPT } from './script.js';
import { STYLE } from './style.js';
import { htmlTable } from './table.js';

interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: readonly string[];
}

export function experimentPage(report: ExperimentReport, figures: readonly Figure[]): string {
  const title = `${report.name}: results`;
  const sections = sectionsOf(report, figures).filter(({ body }) => body.length > 0);
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy()}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<link rel="icon" href="data:,">',
    `<title>${escapeXml(title)}</title>`,
    `<style>${STYLE}</style>`,
    '</head>',
    '<body>',
    '<a class="skip" href="#content">Skip to the results</a>',
    head(report, title, sections),
    filters(report),
    '<main id="content" tabindex="-1">',
    ...sections.map(
      ({ id, title: name, body }) =>
        `<section aria-labelledby="${id}">\n<h2 id="${id}">${escapeXml(name)}</h2>\n${body.join('\n')}\n</section>`,
    ),
    '</main>',
    `<footer><p>Made by xbm ${escapeXml(report.programVersion)}.</p></footer>`,
    `<script>${SCRIPT}</script>`,
    '</body>',
    '</html>',
    '',
  ].join('\n');
}

/** Nothing is loaded, and no script but ours runs. */
function policy(): string {
  const hash = createHash('sha256').update(SCRIPT).digest('base64');
  return `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
}

function head(report: ExperimentReport, title: string, sections: readonly Section[]): string {
  const { description, missing } = report;
  const links = sections.map(({ id, title: name }) => `<li><a href="#${id}">${escapeXml(name)}</a></li>`);
  const notices = [
    ...(missing.length > 0
      ? [
          `<p>${missing.length} planned ${missing.length === 1 ? 'run has' : 'runs have'} no result: <a href="#missing">which and why</a>.</p>`,
        ]
      : []),
    ...remarksOf(report).map((note) => `<p>${escapeXml(note)}</p>`),
  ];
  return [
    '<header>',
    `<h1>${escapeXml(title)}</h1>`,
    ...(description ? [`<p>${escapeXml(description)}</p>`] : []),
    htmlCode(report.command, 'Command that made this report'),
    ...(notices.length > 0 ? [`<div class="notice">${notices.join('\n')}</div>`] : []),
    `<nav aria-label="Sections"><ul>${links.join('')}</ul></nav>`,
    '</header>',
  ].join('\n');
}

function filters(report: ExperimentReport): string {
  const boxes = (name: string, values: readonly string[]) =>
    values
      .map(
        (value) =>
          `<label><input type="checkbox" name="${name}" value="${escapeXml(value)}" checked autocomplete="off"> ${escapeXml(value)}</label>`,
      )
      .join('');
  return [
    '<div id="filters" hidden><form aria-label="Filters">',
    `<fieldset><legend>Tasks</legend>${boxes('task', tasksOf(report))}</fieldset>`,
    `<fieldset><legend>Methods</legend>${boxes('method', methodsIn(report))}</fieldset>`,
    '<button type="reset">Show all</button>',
    '<output aria-live="polite"></output>',
    '</form></div>',
  ].join('\n');
}

function sectionsOf(report: ExperimentReport, figures: readonly Figure[]): Section[] {
  const groups = groupRuns(report);
  const results = resultTables(report);
  const support = supportingTables(report);
  const table = (from: readonly ResultTable[], id: string) =>
    from.filter((candidate) => candidate.id === id).map(htmlTable);
  const drawn = (section: FigureSection) =>
    figures.filter((figure) => figure.section === section).map(htmlFigure);
  return [
    { id: 'missing-runs', title: 'Missing runs', body: table(results, 'missing') },
    {
      id: 'accuracy-section',
      title: 'Accuracy',
      body: [...table(results, 'accuracy'), ...drawn('accuracy')],
    },
    {
      id: 'energy-section',
      title: 'Energy',
      body: [
        ...results.filter(({ id }) => /^energy(-|$)/.test(id)).map(htmlTable),
        ...drawn('energy'),
        ...report.chips.map(limits),
      ],
    },
    {
      id: 'share-off-section',
      title: 'Share off',
      body: [...table(results, 'share-off'), ...drawn('layers')],
    },
    { id: 'memory-section', title: 'Mask memory', body: table(results, 'mask-memory') },
    { id: 'training-section', title: 'Training', body: drawn('training') },
    {
      id: 'masks-section',
      title: 'Masks',
      body: figures.filter(({ section }) => section === 'masks').map(maskSheet),
    },
    {
      id: 'chip-section',
      title: report.chips.length > 1 ? 'Chips' : 'Chip',
      body: report.chips.flatMap((chip) => chipBody(chip, chipSuffix(report, chip.id), support, figures)),
    },
    { id: 'published-section', title: 'Published numbers', body: table(support, 'published') },
    {
      id: 'runs-section',
      title: 'Runs, configs and commands',
      body: groups.length > 0 ? [...table(support, 'runs'), ...groups.map(htmlRuns)] : [],
    },
    {
      id: 'experiment-section',
      title: 'Experiment',
      body: [htmlCode(report.configText, 'Experiment file')],
    },
  ];
}

/** Sheets are long: only the first is unfolded. */
function maskSheet(figure: Figure, index: number): string {
  const filter = filterAttributes(figure.groups[0]);
  const open = index === 0 ? ' open' : '';
  return `<details${open}${filter}><summary>${escapeXml(figure.caption.replace(/\.$/, ''))}</summary>\n${htmlFigure(figure)}\n</details>`;
}

function limits({ id, report }: Chip): string {
  const items = warnings(report).map((text) => `<li>${escapeXml(text)}</li>`);
  return `<h3>Limits of the cost model: ${escapeXml(id)}</h3>\n<ul class="note">${items.join('')}</ul>`;
}

/** Area and latency in sight, the rest to unfold. */
function chipBody(
  chip: Chip,
  suffix: string,
  tables: readonly ResultTable[],
  figures: readonly Figure[],
): string[] {
  const own = (id: string) => tables.filter((table) => table.id === `${id}${suffix}`);
  const unfold = (id: string) =>
    own(id).map(
      (table) => `<details><summary>${escapeXml(table.title)}</summary>\n${htmlTable(table)}\n</details>`,
    );
  return [
    `<h3>${escapeXml(chip.id)}</h3>`,
    `<p class="note">${escapeXml(chip.report.hardware.description)}</p>`,
    ...own('area').map(htmlTable),
    ...figures.filter(({ id }) => id === `area${suffix}`).map(htmlFigure),
    ...own('latency').map(htmlTable),
    ...own('claims').map(htmlTable),
    ...['energy-components', 'policies', 'assumptions', 'constants'].flatMap(unfold),
  ];
}
