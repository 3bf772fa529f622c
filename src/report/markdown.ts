/** @file The hardware report as one Markdown page. */
import { warnings } from './assumptions.js';
import type { HardwareReport } from './hardwareReport.js';
import { hardwareTables } from './hardwareTables.js';
import { tableToMarkdown } from './table.js';

/** One line that says what was priced on what. */
export function reportTitle({ network, hardware }: HardwareReport): string {
  return `${network.network} at ${network.input} on ${hardware.name}: ${hardware.description}`;
}

export function reportMarkdown(report: HardwareReport, perLayer = false): string {
  const notes = warnings(report).map((warning) => `> ${warning}\n`);
  const tables = hardwareTables(report, perLayer).map(tableToMarkdown);
  return [`## ${reportTitle(report)}\n\n${report.source}\n`, notes.join('>\n'), ...tables].join('\n');
}
