import { mkdirSync, rmdirSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { UserError } from './errors.js';

/**
 * Creates a folder and those above it.
 * @returns the topmost that was missing; undefined when all were there
 * @throws UserError when something on the way is a file: Node's own recursive mkdir never returns then (Node 20)
 */
export function makeFolder(path: string): string | undefined {
  for (let ancestor = resolve(path); ; ancestor = dirname(ancestor)) {
    const status = statusOf(ancestor);
    if (status?.isDirectory()) break;
    if (status) {
      const what = ancestor === resolve(path) ? 'is a file' : `cannot be created: ${ancestor} is a file`;
      throw new UserError(`${path}: ${what}, expected a folder`, 'Choose another folder.');
    }
    if (ancestor === dirname(ancestor)) break;
  }
  return mkdirSync(path, { recursive: true });
}

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
