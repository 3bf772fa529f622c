import { randomUUID } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ExitCode, UserError } from '../errors.js';

/**
 * Writes a file so that a reader sees either its old or its whole new content, even after a power cut: a temporary
 * name in the same folder, fsync, rename. A symbolic link stays one: the file that it points to is replaced.
 * @throws UserError when the path is a folder, a device or another thing that is no file, the disk is full or the folder
 * cannot be written; what was there is then intact
 */
export async function replaceFile(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  await replaceFiles([[path, chunks]]);
}

/**
 * Writes files that belong together, each as {@link replaceFile} does: none takes its name before all are on the disk.
 * @throws UserError when the disk is full or a folder cannot be written; the old files are then intact
 */
export async function replaceFiles(
  files: Iterable<readonly [path: string, chunks: Iterable<Uint8Array>]>,
): Promise<void> {
  const written = new Map<string, string>();
  let at = '';
  try {
    for (const [path, chunks] of files) {
      at = path;
      const target = targetOf(path);
      const temporary = temporaryBeside(target);
      written.set(temporary, target);
      await writeNew(temporary, chunks);
    }
    for (const [temporary, target] of written) {
      at = target;
      await rename(temporary, target);
    }
  } catch (error) {
    for (const temporary of written.keys()) await rm(temporary, { force: true }).catch(() => {});
    throw error instanceof UserError ? error : explain(at, error);
  }
  for (const folder of new Set([...written.values()].map((target) => dirname(target))))
    await syncFolder(folder);
}

/**
 * The file that a path stands for: where a symbolic link leads, though nothing may be there yet.
 * @throws UserError when something that is no file is there: rename would replace a device, too
 */
function targetOf(path: string): string {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status && !status.isFile())
    throw new UserError(`${path}: is ${kindOf(status)}, expected a file`, 'Choose another path.');
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return path;
  return status ? realpathSync(path) : targetOf(resolve(realpathSync(dirname(path)), readlinkSync(path)));
}

function kindOf(status: Stats): string {
  if (status.isDirectory()) return 'a folder';
  if (status.isFIFO()) return 'a named pipe';
  return status.isSocket() ? 'a socket' : 'a device';
}

/**
 * Writes a file that is not there yet as {@link replaceFile} does; of several that write it at once one gets the name.
 * @param hint what to do when there is one
 * @throws UserError also when there is one by then; it is left as it is
 */
export async function createFile(path: string, chunks: Iterable<Uint8Array>, hint: string): Promise<void> {
  const temporary = temporaryBeside(path);
  const taken = () => new UserError(`${path}: exists already`, hint);
  try {
    await writeNew(temporary, chunks);
    await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') throw taken();
      // Some file systems have no links: what is left is a look just before.
      if (existsSync(path)) throw taken();
      return rename(temporary, path);
    });
  } catch (error) {
    throw error instanceof UserError ? error : explain(path, error);
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
  await syncFolder(dirname(path));
}

/** A name that {@link removeLeftovers} knows. */
const temporaryBeside = (path: string): string => `${path}.${randomUUID().slice(0, 8)}.tmp`;

async function writeNew(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx');
  try {
    for (const chunk of chunks) await writeAll(file, chunk);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Removes what a process killed within {@link replaceFile} left beside `path`; for a file that nobody else writes now. */
export function removeLeftovers(path: string): void {
  const target = existsSync(path) ? realpathSync(path) : path;
  const [folder, name] = [dirname(target), basename(target)];
  for (const other of readdirSync(folder)) {
    const isLeftover = other.startsWith(name) && /^\.[0-9a-f]{8}\.tmp$/.test(other.slice(name.length));
    if (isLeftover) rmSync(join(folder, other), { force: true });
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    // One write takes at most 2 GiB.
    const { bytesWritten } = await file.write(chunk, done, Math.min(chunk.length - done, 2 ** 30));
    done += bytesWritten;
  }
}

/** Makes the rename itself durable, where the system lets a folder be synced (not on Windows). */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // The content is safe already; only the new name may be lost in a power cut.
  }
}

/** The disk, not what was asked for, stands in the way; `ENOENT`: the folder is gone. */
export class StorageError extends UserError {
  constructor(
    readonly code: 'ENOSPC' | 'EFBIG' | 'ENOENT',
    ...rest: ConstructorParameters<typeof UserError>
  ) {
    super(...rest);
  }
}

/** Why a place takes no files, by the system's code. */
export const refusals: Readonly<Record<string, string>> = {
  EACCES: 'no permission to write here',
  EPERM: 'no permission to write here',
  EROFS: 'the file system is read-only',
};

function explain(path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new StorageError(
        'ENOSPC',
        `${path}: the disk is full`,
        'Free some space and run again; no file was changed.',
        ExitCode.unavailable,
      );
    case 'EFBIG':
      return new StorageError(
        'EFBIG',
        `${path}: larger than a file may be here`,
        'Raise the limit (`ulimit -f`) or choose another disk; no file was changed.',
        ExitCode.unavailable,
      );
    case 'ENOENT':
      return new StorageError('ENOENT', `${path}: its folder does not exist`, 'Create the folder first.');
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new UserError(`${path}: ${refusals[code]}`, 'Choose another folder.');
    case 'ENOTDIR':
    case 'ENAMETOOLONG':
    case 'EEXIST':
    case 'ENOTEMPTY':
    case 'ELOOP':
      return new UserError(`${path}: cannot be written (${code})`, 'Choose another path.');
    default:
      return error;
  }
}
