import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { UserError } from '../../src/errors.js';
import { removeLeftovers, replaceFile, replaceFiles } from '../../src/model/replaceFile.js';
import { runWithFileLimit } from '../runs/fileLimit.js';
import { temporaryFolder } from '../runs/fixtures.js';

const isUserError = (message: RegExp) => (error: unknown) =>
  error instanceof UserError && message.test(error.message);

test('a file is written chunk by chunk, and replaced', async (t) => {
  const file = join(temporaryFolder(t), 'a');
  for (const text of ['first', 'second, longer'])
    await replaceFile(
      file,
      text.split(' ').map((word) => Buffer.from(word)),
    );
  assert.equal(readFileSync(file, 'utf8'), 'second,longer');
});

test('of files that belong together all are written, or none', async (t) => {
  const folder = temporaryFolder(t);
  const [a, b] = ['a', 'b'].map((name) => join(folder, name));
  const write = (text: string, last: string) =>
    replaceFiles([a, b, last].map((file) => [file, [Buffer.from(text)]] as const));
  await write('old', join(folder, 'c'));
  mkdirSync(join(folder, 'taken'));
  await assert.rejects(
    write('new', join(folder, 'taken')),
    isUserError(/taken: is a folder, expected a file/),
  );
  await assert.rejects(write('new', join(folder, 'no', 'c')), isUserError(/its folder does not exist/));
  assert.deepEqual(readdirSync(folder).sort(), ['a', 'b', 'c', 'taken']);
  assert.deepEqual(
    [a, b].map((file) => readFileSync(file, 'utf8')),
    ['old', 'old'],
  );
});

test('a disk that takes only a part leaves the old file, and no other', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'a');
  writeFileSync(file, 'old');
  const stderr = await runWithFileLimit(
    'src/model/replaceFile.js',
    `replaceFile(${JSON.stringify(file)}, [Buffer.alloc(100_000)])`,
  );
  assert.match(stderr, /a: larger than a file may be here/);
  assert.deepEqual(readdirSync(folder), ['a']);
  assert.equal(readFileSync(file, 'utf8'), 'old');
});

test('what a killed process left is removed, and nothing else', (t) => {
  const folder = temporaryFolder(t);
  for (const name of ['a', 'a.0123abcd.tmp', 'a.tmp', 'ab.0123abcd.tmp'])
    writeFileSync(join(folder, name), '');
  removeLeftovers(join(folder, 'a'));
  assert.deepEqual(readdirSync(folder).sort(), ['a', 'a.tmp', 'ab.0123abcd.tmp']);
});
