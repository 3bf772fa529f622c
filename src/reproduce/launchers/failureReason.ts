import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

/** Enough for a message and a stack trace. */
const TAIL_BYTES = 16_384;

/** Bytes of a log; 0 when there is none. */
export function logBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The end of a log; empty when there is none. @param from bytes that are an earlier start's */
export function readTail(path: string, from = 0): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(file);
    const start = Math.max(from, size - TAIL_BYTES);
    const buffer = Buffer.alloc(Math.max(0, size - start));
    const read = readSync(file, buffer, 0, buffer.length, start);
    return buffer.toString('utf8', 0, read);
  } finally {
    closeSync(file);
  }
}

/** Why a run failed: the program's last message in its log, else the log's last line, else how the process ended. */
export function failureReason(log: string, ending: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('xbm: stopping'));
  const last = lines.findLastIndex((line) => line.startsWith('xbm: '));
  if (last < 0) return lines.length > 0 ? `${ending}; its last line: ${lines.at(-1)}` : ending;
  const message = lines.slice(last).map((line) => line.replace(/^xbm: /, ''));
  // Of a stack trace the first line is enough here; the log has the rest.
  const trace = message.findIndex((line) => /^\s+at /.test(line));
  const shown = (trace < 0 ? message : message.slice(0, trace)).slice(0, 4);
  return shown
    .map((line, i) => (i < shown.length - 1 && !/[.:;,]$/.test(line) ? `${line}.` : line))
    .join(' ');
}
