import { ExitCode, type ExitCodeValue, UserError } from '../errors.js';

/** What the program says on stderr, and its exit code, when a command threw. */
export interface Failure {
  readonly text: string;
  readonly exitCode: ExitCodeValue;
}

/** Turns whatever a command threw into one message; only a bug in xbm gets a stack trace. */
export function describeFailure(error: unknown): Failure {
  if (isAbort(error)) return { text: 'xbm: interrupted\n', exitCode: ExitCode.interrupted };
  const known = error instanceof UserError ? error : systemFailure(error);
  if (known) {
    const hint = known.hint ? `${known.hint}\n` : '';
    return { text: `xbm: ${known.message}\n${hint}`, exitCode: known.exitCode };
  }
  const stack = error instanceof Error ? (error.stack ?? String(error)) : String(error);
  return {
    text: `xbm: unexpected error; this is a bug in xbm, please report it with the lines below\n${stack}\n`,
    exitCode: ExitCode.internal,
  };
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** Errors of the operating system that the user can act on, by code: what they mean and what to do. */
const systemErrors: Readonly<Record<string, { what: string; hint: string; exitCode: ExitCodeValue }>> = {
  ENOENT: { what: 'no such file or folder', hint: 'Check the path.', exitCode: ExitCode.usage },
  EEXIST: { what: 'exists already', hint: 'Choose another path, or remove it.', exitCode: ExitCode.usage },
  ENOTDIR: { what: 'not a folder', hint: 'Check the path.', exitCode: ExitCode.usage },
  EISDIR: { what: 'a folder where a file is expected', hint: 'Check the path.', exitCode: ExitCode.usage },
  EACCES: { what: 'permission denied', hint: 'Check the owner and mode.', exitCode: ExitCode.usage },
  EPERM: { what: 'operation not permitted', hint: 'Check the owner and mode.', exitCode: ExitCode.usage },
  EROFS: { what: 'read-only file system', hint: 'Choose another folder.', exitCode: ExitCode.usage },
  ELOOP: { what: 'a circle of symbolic links', hint: 'Check the path.', exitCode: ExitCode.usage },
  ENAMETOOLONG: { what: 'path too long', hint: 'Choose a shorter path.', exitCode: ExitCode.usage },
  ENOSPC: {
    what: 'no space left on the disk',
    hint: 'Free some space and run the command again.',
    exitCode: ExitCode.unavailable,
  },
  EDQUOT: {
    what: 'disk quota exceeded',
    hint: 'Free some space and run the command again.',
    exitCode: ExitCode.unavailable,
  },
  EFBIG: {
    what: 'larger than a file may be here',
    hint: 'Raise the limit (`ulimit -f`) or choose another disk, and run the command again.',
    exitCode: ExitCode.unavailable,
  },
  EIO: { what: 'the disk reported an error', hint: 'Check the disk.', exitCode: ExitCode.unavailable },
  EMFILE: {
    what: 'too many open files',
    hint: 'Raise the limit (`ulimit -n`) and run the command again.',
    exitCode: ExitCode.unavailable,
  },
  ENOMEM: {
    what: 'out of memory',
    hint: 'Use a smaller training.batchSize or training.imageSize.',
    exitCode: ExitCode.unavailable,
  },
};

/** A UserError for an error of the operating system or an allocation that failed; undefined for anything else. */
export function systemFailure(error: unknown): UserError | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof RangeError && /allocation failed/.test(error.message)) {
    return new UserError(
      `out of memory (${error.message})`,
      systemErrors.ENOMEM.hint,
      systemErrors.ENOMEM.exitCode,
    );
  }
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  const known = code !== undefined && syscall !== undefined ? systemErrors[code] : undefined;
  if (!known) return undefined;
  return new UserError(
    path ? `${path}: ${known.what} (${syscall})` : `${known.what} (${syscall})`,
    known.hint,
    known.exitCode,
  );
}
