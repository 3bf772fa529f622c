import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { isatty } from 'node:tty';
import { ExitCode, UserError } from '../errors.js';
import { systemFailure } from './failure.js';

/** All that a command may touch of its process, so that tests run commands without one. */
export interface Io {
  /** Results only. */
  stdout: (text: string) => void;
  /** Progress, warnings, errors. */
  stderr: (text: string) => void;
  /** stderr is a terminal: progress bars may redraw their line. */
  isTerminal: boolean;
  /** Of the terminal that stdout is; null: it is none. */
  columns: number | null;
  env: Record<string, string | undefined>;
  cwd: string;
  /** Aborted by Ctrl-C, SIGTERM or SIGHUP: a command then leaves its files intact and throws `signal.reason`. */
  signal?: AbortSignal;
  /** Waits until stdout is written; tells what kept results from it, a full disk for example. */
  lostResults?: () => Promise<UserError | undefined>;
}

/** The Io of this process. Installs the handlers of these signals; call it once. */
export function processIo(): Io {
  const results = outputTo(process.stdout);
  return {
    stdout: results.write,
    // A log that cannot be written is no reason to lose the work that it tells of.
    stderr: outputTo(process.stderr).write,
    isTerminal: process.stderr.isTTY === true,
    columns: process.stdout.isTTY ? (process.stdout.columns ?? null) : null,
    env: process.env,
    cwd: process.cwd(),
    signal: interruptSignal(),
    lostResults: async () => {
      const error = await results.failure();
      if (error === undefined || readerGone.has(error.code ?? '')) return undefined;
      const known = systemFailure(error);
      return new UserError(`stdout: ${known?.message ?? error.message}`, known?.hint, ExitCode.unavailable);
    },
  };
}

/** Errors of a pipe or a terminal whose other end is closed (`xbm … | head`): nobody misses the results. */
const readerGone: ReadonlySet<string> = new Set(['EPIPE', 'EIO', 'ECONNRESET']);

interface Output {
  write(text: string): void;
  /** The first error, once all is written. */
  failure(): Promise<NodeJS.ErrnoException | undefined>;
}

/** An output that fails must not kill a run that still has files to write: what comes later is dropped. */
function outputTo(stream: NodeJS.WriteStream & { readonly fd: number }): Output {
  let failure: NodeJS.ErrnoException | undefined;
  stream.on('error', (error) => {
    failure ??= error;
  });
  // Of a text that a disk takes in part, Node's stream for files drops the rest and reports nothing.
  const isFile = !((stream as unknown) instanceof Socket);
  return {
    write(text) {
      if (failure) return;
      if (!isFile) stream.write(text);
      else {
        try {
          writeWhole(stream.fd, text);
        } catch (error) {
          failure = error as NodeJS.ErrnoException;
        }
      }
    },
    async failure() {
      if (!isFile && !failure) await new Promise<void>((resolve) => stream.write('', () => resolve()));
      return failure;
    },
  };
}

function writeWhole(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done);
}

/** The first signal asks for an orderly end, the second one ends the process at once. */
function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) endAtOnce();
    process.stderr.write('\nxbm: stopping; press Ctrl-C again to stop at once\n');
    controller.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  // The terminal was closed, or the connection to it lost. Under nohup there is none, and Node has undone its work.
  const usesTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
  process.on('SIGHUP', usesTerminal ? onSignal : () => {});
  return controller.signal;
}

/** `process.exit` waits for worker threads, forever where a system call holds one; the system's own SIGINT does not. */
function endAtOnce(): never {
  process.removeAllListeners('SIGINT');
  // A shell sees the exit code of an interrupt, 130, whichever signal asked.
  process.kill(process.pid, 'SIGINT');
  // The first process of a container does not end by its own signals.
  process.exit(ExitCode.interrupted);
}
