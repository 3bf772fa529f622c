/** Exit codes of the `xbm` program; documented in the README. */
export const ExitCode = {
  ok: 0,
  /** A bug in xbm: the stack trace is printed. */
  internal: 1,
  /** Bad input: an argument, a config, a data set, a weights file. */
  usage: 2,
  /** Something this machine lacks: an engine, memory, disk space. */
  unavailable: 3,
  /** A guard tripped or a check failed: NaN loss, changed backbone, failed verification. */
  failed: 4,
  /** Ctrl-C, SIGTERM or SIGHUP; everything written so far is intact. */
  interrupted: 130,
} as const;

export type ExitCodeValue = (typeof ExitCode)[keyof typeof ExitCode];

/** An error the user can act on: printed as one message without a stack trace. */
export class UserError extends Error {
  override readonly name = 'UserError';

  /**
   * @param message what is wrong: names the file, line or key, and what was expected
   * @param hint what to do about it, one sentence
   */
  constructor(
    message: string,
    readonly hint?: string,
    readonly exitCode: ExitCodeValue = ExitCode.usage,
  ) {
    super(message);
  }
}

/** Lets a UserError say what to do in the place where it came up: `hint` takes the place of its own. */
export async function withHint<T>(hint: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw hinted(hint, error);
  }
}

/** A UserError with `hint` in the place of its own; anything else as it is. */
export function hinted(hint: string, error: unknown): unknown {
  return error instanceof UserError ? new UserError(error.message, hint, error.exitCode) : error;
}

/** Message and hint as one line. */
export function inOneLine({ message, hint }: UserError): string {
  return hint ? `${message}. ${hint}` : `${message}.`;
}

/** For messages: the first of these, and how many more there are. */
export function firstThree(names: readonly string[]): string {
  const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
  return `${names.slice(0, 3).join(', ')}${more}`;
}
