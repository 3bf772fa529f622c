import { escapeXml } from '../../../escapeXml.js';
import { mapMarks } from '../chartMarks.js';
import type { Figure } from '../figures.js';
import type { RunGroup } from '../groups.js';
import { filterAttributes } from './attributes.js';

/** A figure whose bars and lines can be filtered and lead to their runs. */
export function htmlFigure({ id, svg, caption, groups }: Figure): string {
  const byId = new Map(groups.map((group) => [group.id, group]));
  const marked = mapMarks(svg, new Set(byId.keys()), (element, groupId) => {
    // The tables hold the same links for the keyboard.
    return `<a href="#${groupId}" tabindex="-1"${filterAttributes(byId.get(groupId)!)}>${element}</a>`;
  });
  const drawing = marked.trim().replace('<svg ', `<svg role="group" aria-labelledby="figure-${id}-caption" `);
  return [
    `<figure id="figure-${id}"${filterAttributes(shared(groups))}>`,
    `<div class="scroll" role="region" aria-labelledby="figure-${id}-caption" tabindex="0">${drawing}</div>`,
    `<figcaption id="figure-${id}-caption">${escapeXml(caption)} ${runLinks(groups)}</figcaption>`,
    '</figure>',
  ].join('\n');
}

/** The task or method that all groups of a figure have. */
function shared(groups: readonly RunGroup[]): { task?: string; method?: string } {
  const one = (values: readonly string[]) => (new Set(values).size === 1 ? values[0] : undefined);
  return { task: one(groups.map(({ task }) => task)), method: one(groups.map(({ method }) => method)) };
}

function runLinks(groups: readonly RunGroup[]): string {
  if (groups.length === 0) return '';
  const { task } = shared(groups);
  if (task === undefined) return '<a href="#runs">Runs, configs and commands</a>.';
  const links = groups.map(
    ({ id, label, precision, method }) =>
      `<a href="#${id}"${filterAttributes({ task, method })}>${escapeXml(`${label}, ${precision}`)}</a>`,
  );
  return `Runs: ${links.join(' · ')}`;
}
