import { resultTables, supportingTables } from './experimentTables.js';
import { escapeMarkdown, resultTableToMarkdown } from './formats.js';
import { remarksOf } from './remarks.js';
import type { ExperimentReport } from './types.js';

/** The results as a page: everything but the figures' data. @param figures file names relative to the page, with captions */
export function experimentMarkdown(
  report: ExperimentReport,
  figures: readonly { readonly path: string; readonly caption: string }[] = [],
): string {
  const code = (text: string, language: string) => {
    const fence = '`'.repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length + 1)));
    return `${fence}${language}\n${text.replace(/\n$/, '')}\n${fence}\n`;
  };
  const parts = [
    `# ${escapeMarkdown(report.name)}\n`,
    ...(report.description ? [`${escapeMarkdown(report.description)}\n`] : []),
    code(report.command, 'sh'),
    ...remarksOf(report).map((note) => `> ${escapeMarkdown(note)}\n`),
    '## Results\n',
    ...resultTables(report).map(resultTableToMarkdown),
    ...(figures.length > 0 ? ['## Figures\n'] : []),
    ...figures.map(({ path, caption }) => `![${escapeMarkdown(caption)}](${path})\n`),
    '## Behind the results\n',
    ...supportingTables(report).map(resultTableToMarkdown),
    '### Experiment\n',
    code(report.configText, 'yaml'),
  ];
  return parts.join('\n');
}
