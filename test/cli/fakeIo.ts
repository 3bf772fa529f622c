import { tmpdir } from 'node:os';
import type { Io } from '../../src/cli/io.js';

/** An Io that records what a command writes. */
export interface FakeIo extends Io {
  readonly out: () => string;
  readonly err: () => string;
}

/** An Io without a process: no terminal, an empty environment, the temporary folder as working directory. */
export function fakeIo(overrides: Partial<Io> = {}): FakeIo {
  let out = '';
  let err = '';
  return {
    stdout: (text) => {
      out += text;
    },
    stderr: (text) => {
      err += text;
    },
    isTerminal: false,
    columns: null,
    env: {},
    cwd: tmpdir(),
    ...overrides,
    out: () => out,
    err: () => err,
  };
}
