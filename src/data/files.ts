/** @file Listing and reading a data set's own files, with errors that name file and line. */
import { readdirSync, readFileSync, realpathSync, type Stats, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { UserError } from '../errors.js';

const imageExtensions = new Set(['.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.tiff', '.avif']);

/** Whether a file name says that it is an image that xbm can read. */
export function isImageName(name: string): boolean {
  return !name.startsWith('.') && imageExtensions.has(extname(name).toLowerCase());
}

/** Plain string order, the same on every machine whatever its locale. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function isFolder(path: string): boolean {
  return statOf(path)?.isDirectory() ?? false;
}

export function isFile(path: string): boolean {
  return statOf(path)?.isFile() ?? false;
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    // Something on the way is a file, or a link leads back to itself.
    if (['ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

/** Names of the folders in a folder, hidden ones left out, in ascending order. */
export function listFolders(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !entry.name.startsWith('.'))
    .filter((entry) => entry.isDirectory() || (entry.isSymbolicLink() && isFolder(join(folder, entry.name))))
    .map((entry) => entry.name)
    .sort(compareNames);
}

/** Why what lies at the path of an image is not opened: reading a pipe or a device may never end. */
export function notRegular(path: string): string {
  return `${path} is no regular file`;
}

/** Names of the image files in a folder, in ascending order; also of what only has such a name, for the reader to refuse. */
export function listImages(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => isImageName(entry.name) && !entry.isDirectory())
    .map((entry) => entry.name)
    .sort(compareNames);
}

/**
 * Paths of the files in a folder and the folders inside, hidden ones left out, links followed, in ascending order.
 * @throws UserError when one of the folders cannot be read
 */
export function listFilesBelow(folder: string): string[] {
  const visited = new Set<string>();
  const walk = (path: string): string[] => {
    const real = realpathSync(path);
    if (visited.has(real)) return [];
    visited.add(real);
    const files = readdirSync(path)
      .filter((name) => !name.startsWith('.') && isFile(join(path, name)))
      .map((name) => join(path, name));
    return [...files, ...listFolders(path).flatMap((name) => walk(join(path, name)))];
  };
  try {
    return walk(folder).sort(compareNames);
  } catch (error) {
    const { code, path, message } = error as NodeJS.ErrnoException;
    if (code === undefined || path === undefined) throw error;
    throw new UserError(`${path} cannot be read: ${message}`, 'Check its permissions.');
  }
}

/** @throws UserError unless the root of a data set is a folder */
export function requireRoot(task: string, root: string): void {
  if (isFolder(root)) return;
  const what = isFile(root) ? 'is not a folder' : 'does not exist';
  throw new UserError(
    `the data of task ${task}: ${root} ${what}`,
    'Set data.root (or --root) to the folder of the data set; datasets.md shows the expected tree.',
  );
}

/** @throws UserError when a file of the data set's layout is missing; `hint` says what to do then */
export function requireFile(path: string, hint: string): void {
  if (!isFile(path)) throw new UserError(`${path} is missing`, hint);
}

/** One line of a list file, split at white space. */
export interface ListLine {
  readonly text: string;
  readonly number: number;
}

/** The lines of a text file that are not empty. */
export function readLines(path: string): ListLine[] {
  const text = readFileSync(path, 'utf8').replace(/^\ufeff/, '');
  return text
    .split(/\r\n|\r|\n/)
    .map((line, i) => ({ text: line.trim(), number: i + 1 }))
    .filter((line) => line.text !== '');
}

/** An error at one line of a list file. */
export function lineError(path: string, line: number, expected: string, got: string): UserError {
  const shown = got.length > 80 ? `${got.slice(0, 80)}…` : got;
  return new UserError(
    `${path}, line ${line}: expected ${expected}, got "${shown}"`,
    'Restore the file from the data set’s archive.',
  );
}

/** The different labels of a list: numbers in numeric order, names in plain order. */
export function distinctLabels(labels: readonly string[]): string[] {
  const names = [...new Set(labels)];
  const numeric = names.every((name) => /^\d+$/.test(name));
  return names.sort(numeric ? (a, b) => Number(a) - Number(b) : compareNames);
}
