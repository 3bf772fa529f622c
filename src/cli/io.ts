import { isatty } from 'node:tty';
import { ExitCode } from '../errors.js';

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
}

/** The Io of this process. Installs the handlers of these signals; call it once. */
export function processIo(): Io {
  return {
    stdout: writer(process.stdout),
    stderr: writer(process.stderr),
    isTerminal: process.stderr.isTTY === true,
    columns: process.stdout.isTTY ? (process.stdout.columns ?? null) : null,
    env: process.env,
    cwd: process.cwd(),
    signal: interruptSignal(),
  };
}

/**
 * A closed reader (`xbm … | head`) or terminal must not kill a run that still has files to write: later output is dropped.
 */
function writer(stream: NodeJS.WriteStream): (text: string) => void {
  let closed = false;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
    closed = true;
  });
  return (text) => {
    if (!closed) stream.write(text);
  };
}

/** The first signal asks for an orderly end, the second one ends the process at once. */
function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(ExitCode.interrupted);
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
