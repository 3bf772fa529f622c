/** @file Marks of a chart know their runs: bars and lines carry the id of their group and a text for screen readers. */

const SEPARATOR = '|';

/** Goes into a mark's `description` channel, which Vega writes as its aria-label. */
export function markOf(groupId: string, text: string): string {
  return `${groupId}${SEPARATOR}${text}`;
}

/**
 * Rewrites every mark that {@link markOf} named.
 * @param rewrite gets the SVG element with a plain aria-label, and the id of its group
 */
export function mapMarks(
  svg: string,
  groupIds: ReadonlySet<string>,
  rewrite: (element: string, groupId: string) => string,
): string {
  return svg.replace(/<(?:path|line)\b[^>]*\baria-label="([a-z0-9-]+)\|[^>]*\/>/g, (element, id: string) =>
    groupIds.has(id)
      ? rewrite(element.replace(`aria-label="${id}${SEPARATOR}`, 'aria-label="'), id)
      : element,
  );
}
