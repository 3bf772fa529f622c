import { mkdirSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { UserError } from './errors.js';

/**
 * Creates a folder and those above it.
 * @throws UserError when something on the way is a file: Node's own recursive mkdir never returns then (Node 20)
 */
export function makeFolder(path: string): void {
  for (let ancestor = resolve(path); ; ancestor = dirname(ancestor)) {
    const status = statusOf(ancestor);
    if (status?.isDirectory()) break;
    if (status) {
      const what = ancestor === resolve(path) ? 'is a file' : `cannot be created: ${ancestor} is a file`;
      throw new UserError(`${path}: ${what}, expected a folder`, 'Choose another folder.');
    }
    if (ancestor === dirname(ancestor)) break;
  }
  mkdirSync(path, { recursive: true });
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
