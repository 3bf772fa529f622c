import { mkdirSync, rmdirSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { UserError } from './errors.js';

/**
 * Creates a folder and those above it, one by one: Node's own recursive mkdir never returns below a file or in /proc, and
 * calls a read-only place missing (Node 20).
 * @returns the topmost that was missing; undefined when all were there
 * @throws UserError when something on the way is a file, or the file system takes no folders there
 */
export function makeFolder(path: string): string | undefined {
  const missing: string[] = [];
  for (let folder = resolve(path); !isFolder(folder, path); folder = dirname(folder)) missing.unshift(folder);
  for (const folder of missing) makeOne(folder, path);
  return missing[0];
}

/** @throws UserError when something else has its name */
function isFolder(folder: string, wanted: string): boolean {
  const status = statusOf(folder);
  if (!status || status.isDirectory()) return status !== null;
  const what = folder === resolve(wanted) ? 'is a file' : `cannot be created: ${folder} is a file`;
  throw new UserError(`${wanted}: ${what}, expected a folder`, 'Choose another folder.');
}

function makeOne(folder: string, wanted: string): void {
  try {
    mkdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Another process was first.
    if (code === 'EEXIST' && statusOf(folder)?.isDirectory()) return;
    const problem = code === undefined ? undefined : folderProblems[code];
    if (problem === undefined) throw error;
    throw new UserError(`${wanted}: cannot be created: ${folder}: ${problem}`, 'Choose another folder.');
  }
}

const folderProblems: Readonly<Record<string, string>> = {
  EEXIST: 'is a link to something that does not exist',
  ENOENT: 'this file system takes no new folders, or another process has just removed the one above',
  EROFS: 'read-only file system',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
};

/**
 * Removes a folder, and those above it up to `topmost`, as long as nothing is in them.
 * @param topmost as {@link makeFolder} returned it
 */
export function removeEmptyFolders(path: string, topmost: string): void {
  for (let folder = path; folder.startsWith(topmost); folder = dirname(folder)) {
    try {
      rmdirSync(folder);
    } catch (error) {
      // Something is in it, or it is not ours to remove.
      if ((error as NodeJS.ErrnoException).code !== undefined) return;
      throw error;
    }
  }
}

/** null where nothing is, also below a file. */
function statusOf(path: string): Stats | null {
  try {
    return statSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}
