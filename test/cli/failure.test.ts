import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeFailure } from '../../src/cli/failure.js';
import { ExitCode, UserError } from '../../src/errors.js';

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

test('a UserError is its message and hint, with its exit code and no stack', () => {
  const failure = describeFailure(
    new UserError('engine onnx cannot run', 'See `xbm engines`.', ExitCode.unavailable),
  );
  assert.deepEqual(failure, { text: 'xbm: engine onnx cannot run\nSee `xbm engines`.\n', exitCode: 3 });
});

test('any other error is a bug with a stack trace', () => {
  const failure = describeFailure(new TypeError('x is not a function'));
  assert.equal(failure.exitCode, 1);
  assert.match(failure.text, /this is a bug in xbm/);
  assert.match(failure.text, /TypeError: x is not a function\n\s+at /);
});

test('a missing file is the user’s to fix: path, meaning, no stack', () => {
  const failure = describeFailure(thrownBy(() => readFileSync('/no/such/file')));
  assert.equal(failure.text, 'xbm: /no/such/file: no such file or folder (open)\nCheck the path.\n');
  assert.equal(failure.exitCode, 2);
});

test('a full disk means something is missing on this machine', () => {
  const error = Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
    syscall: 'write',
  });
  assert.equal(describeFailure(error).exitCode, 3);
  assert.match(describeFailure(error).text, /no space left/);
});

test('a limit on the size of files is one of this machine, not a bug', () => {
  const error = Object.assign(new Error('EFBIG: file too large, write'), { code: 'EFBIG', syscall: 'write' });
  assert.equal(describeFailure(error).exitCode, 3);
  assert.match(describeFailure(error).text, /^xbm: larger than a file may be here \(write\)\n.*ulimit -f/);
});

test('memory that cannot be had is named as such', () => {
  const error = thrownBy(() => new ArrayBuffer(2 ** 52));
  assert.match(describeFailure(error).text, /out of memory/);
  assert.equal(describeFailure(error).exitCode, 3);
});

test('an aborted signal ends with 130', () => {
  const reason = thrownBy(() => AbortSignal.abort().throwIfAborted());
  assert.deepEqual(describeFailure(reason), { text: 'xbm: interrupted\n', exitCode: 130 });
});
