/** @file What the tests need of a Markdown document: fenced blocks, inline code, links, headings. */
import { readFileSync } from 'node:fs';

export interface Fence {
  readonly language: string;
  readonly text: string;
  /** Of its first line of text, from 1. */
  readonly line: number;
}

export interface Inline {
  readonly text: string;
  readonly line: number;
}

export interface Markdown {
  readonly fences: readonly Fence[];
  /** Inline code outside fenced blocks. */
  readonly code: readonly Inline[];
  /** Targets of links and images. */
  readonly links: readonly Inline[];
  /** GitHub's anchors of the headings. */
  readonly anchors: readonly string[];
  /** Cells of the tables, trimmed, one array per row. */
  readonly rows: readonly (readonly string[])[];
}

export function readMarkdown(path: string): Markdown {
  const fences: Fence[] = [];
  const code: Inline[] = [];
  const links: Inline[] = [];
  const anchors: string[] = [];
  const rows: string[][] = [];
  const lines = readFileSync(path, 'utf8').split('\n');
  for (let i = 0; i < lines.length; i++) {
    const fence = /^```(\w*)\s*$/.exec(lines[i]);
    if (fence) {
      const end = lines.indexOf('```', i + 1);
      if (end < 0) throw new Error(`${path}:${i + 1}: the block is not closed`);
      fences.push({ language: fence[1], text: lines.slice(i + 1, end).join('\n'), line: i + 2 });
      i = end;
      continue;
    }
    const line = i + 1;
    for (const [, text] of lines[i].matchAll(/`([^`]+)`/g)) code.push({ text, line });
    const prose = lines[i].replace(/`[^`]+`/g, '');
    for (const [, text] of prose.matchAll(/\]\(([^)\s]+)\)/g)) links.push({ text, line });
    const heading = /^#+ (.*)$/.exec(lines[i]);
    if (heading) anchors.push(anchorOf(heading[1]));
    if (lines[i].startsWith('|')) rows.push(cellsOf(lines[i]));
  }
  return { fences, code, links, anchors, rows };
}

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-');
}

function cellsOf(row: string): string[] {
  const inner = row.trim().replace(/^\||\|$/g, '');
  return inner.split('|').map((cell) => cell.trim());
}
