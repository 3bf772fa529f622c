import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { commitOf, hashCode, programCode } from '../../src/runs/programCode.js';
import { temporaryFolder } from './fixtures.js';

test('the code’s hash tells content and names apart, and takes compiled files alone', (t) => {
  const hashOf = (files: Readonly<Record<string, string>>): string => {
    const folder = temporaryFolder(t);
    mkdirSync(join(folder, 'cli'));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return hashCode(folder);
  };
  const code = { 'a.js': 'one', 'cli/b.js': 'two' };
  assert.equal(hashOf({ ...code, 'a.js.map': 'other' }), hashOf(code));
  const others: Record<string, string>[] = [
    { 'a.js': 'one', 'cli/b.js': 'too' },
    { 'a.js': 'one', 'cli/c.js': 'two' },
    { 'a.js': 'one' },
  ];
  assert.equal(new Set([code, ...others].map(hashOf)).size, 4);
  assert.match(programCode().codeSha256, /^[0-9a-f]{64}$/);
});

test('the commit of a checkout, and whether files differ from it', (t) => {
  const folder = temporaryFolder(t);
  assert.equal(commitOf(folder), null);
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@example.org', ...args], {
      cwd: folder,
      encoding: 'utf8',
    }).trim();
  git('init', '--quiet');
  writeFileSync(join(folder, 'file'), 'one');
  git('add', 'file');
  git('commit', '--quiet', '-m', 'first');
  git('tag', 'v1');
  const head = git('rev-parse', 'HEAD');
  assert.equal(commitOf(folder), head);
  writeFileSync(join(folder, 'file'), 'two');
  assert.equal(commitOf(folder), `${head}-dirty`);
});
