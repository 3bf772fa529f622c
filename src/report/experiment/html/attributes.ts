import { escapeXml } from '../../../escapeXml.js';

/** ` data-task="…" data-method="…"`: what the filters look at. */
export function filterAttributes({ task, method }: { task?: string; method?: string }): string {
  const data = { task, method };
  return Object.entries(data)
    .map(([key, value]) => (value === undefined ? '' : ` data-${key}="${escapeXml(value)}"`))
    .join('');
}

/** A relative path as a link; no part of it can be taken for a scheme. */
export function relativeLink(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
