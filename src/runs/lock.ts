/** @file One writer per run folder: a lock file that names its process; the lock of a dead process is taken over. */

import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { ExitCode, UserError } from '../errors.js';
import { makeFolder, removeEmptyFolders } from '../folders.js';

export interface Lock {
  /** Also removes the folders made for it when nothing else is in them: a failed start leaves none. */
  release(): void;
}

/** Another process holds a lock. */
export class LockedError extends UserError {
  /** @param alive the process is seen to live; of a process of another machine nobody knows */
  constructor(
    message: string,
    hint: string,
    readonly alive: boolean,
  ) {
    super(message, hint, ExitCode.unavailable);
  }
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Start time of the process as the system counts it; tells a reused pid apart. */
  readonly started: string;
  readonly token: string;
}

/**
 * Takes the lock file `path`; creates its folder.
 * @throws LockedError when a living process, or a process of another machine, holds it
 */
export function acquireLock(path: string): Lock {
  const folder = dirname(resolve(path));
  let topmost: string | undefined;
  const mine: Holder = {
    pid: process.pid,
    host: hostname(),
    started: startTime(process.pid),
    token: randomUUID(),
  };
  for (let attempt = 0; attempt < 10; attempt++) {
    topmost = makeFolder(folder) ?? topmost;
    if (tryCreate(path, mine)) {
      return {
        release() {
          release(path, mine);
          if (topmost !== undefined) removeEmptyFolders(folder, topmost);
        },
      };
    }
    const holder = read(path);
    if (holder && isAlive(holder)) throw locked(path, holder);
    retire(path, holder);
  }
  throw new UserError(
    `${path}: other processes keep taking this lock`,
    'Wait for them.',
    ExitCode.unavailable,
  );
}

/** Writes the content under another name first: a lock file is never seen half-written. */
function tryCreate(path: string, holder: Holder): boolean {
  const temporary = `${path}.${holder.token.slice(0, 8)}`;
  try {
    writeFileSync(temporary, `${JSON.stringify(holder)}\n`);
    linkSync(temporary, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ENOENT: another process has just let go, and removed the empty folder.
    if (code === 'EEXIST' || code === 'ENOENT') return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function read(path: string): Holder | null {
  try {
    const { pid, host, started, token } = JSON.parse(readFileSync(path, 'utf8'));
    return Number.isSafeInteger(pid) && pid > 0 && typeof host === 'string'
      ? { pid, host, started, token }
      : null;
  } catch {
    return null;
  }
}

/** Removes a dead holder's lock; should another process have replaced it just now, that one's is put back. */
function retire(path: string, dead: Holder | null): void {
  const aside = `${path}.${randomUUID().slice(0, 8)}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    if (read(aside)?.token !== dead?.token) linkSync(aside, path);
  } finally {
    rmSync(aside, { force: true });
  }
}

function release(path: string, mine: Holder): void {
  if (read(path)?.token === mine.token) rmSync(path, { force: true });
}

function isAlive({ pid, host, started }: Holder): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return started === '' || startTime(pid) === '' || started === startTime(pid);
}

/** Field 22 of /proc/<pid>/stat; empty where there is no /proc. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function locked(path: string, { pid, host }: Holder): LockedError {
  const folder = dirname(path);
  return host === hostname()
    ? new LockedError(`${folder}: process ${pid} is writing this run`, 'Wait for it or stop it.', true)
    : new LockedError(
        `${folder}: process ${pid} of ${host} is writing this run`,
        `If that process is gone, delete ${path}.`,
        false,
      );
}
