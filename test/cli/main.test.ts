import assert from 'node:assert/strict';
import { test } from 'node:test';
import { main } from '../../src/cli/main.js';
import { packageVersion } from '../../src/paths.js';
import { fakeIo } from './fakeIo.js';

test('--version prints the version to stdout', async () => {
  const io = fakeIo();
  assert.equal(await main(['--version'], io), 0);
  assert.equal(io.out(), `${packageVersion()}\n`);
  assert.equal(io.err(), '');
});

test('--help documents the exit codes', async () => {
  const io = fakeIo();
  assert.equal(await main(['--help'], io), 0);
  for (const code of [0, 1, 2, 3, 4, 130]) assert.match(io.out(), new RegExp(`^ {2}${code} +\\w`, 'm'));
});

test('an unknown option is a usage error with one message', async () => {
  const io = fakeIo();
  assert.equal(await main(['--no-such-option'], io), 2);
  assert.match(io.err(), /^xbm: unknown option '--no-such-option'\n/);
  assert.equal(io.out(), '');
});
