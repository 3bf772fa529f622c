import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { UserError } from '../../src/errors.js';
import { createFile, removeLeftovers, replaceFile, replaceFiles } from '../../src/model/replaceFile.js';
import { runWithFileLimit } from '../runs/fileLimit.js';
import { temporaryFolder } from '../runs/fixtures.js';

const isWindows = process.platform === 'win32';

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

test('of several that create a file one gets the name; the others leave it as it is', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'a');
  const writers = ['0', '1', '2', '3'].map((text) => createFile(file, [Buffer.from(text)], 'Choose.'));
  const results = await Promise.allSettled(writers);
  const winner = results.findIndex(({ status }) => status === 'fulfilled');
  assert.equal(readFileSync(file, 'utf8'), String(winner));
  const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  assert.equal(reasons.length, 3);
  for (const reason of reasons) {
    assert.ok(isUserError(/a: exists already/)(reason), reason);
    assert.equal(reason.hint, 'Choose.');
  }
  assert.deepEqual(readdirSync(folder), ['a']);
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

test('a symbolic link stays one, and what it points to is written', { skip: isWindows }, async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'other'));
  const target = join(folder, 'other', 'target');
  symlinkSync('other', join(folder, 'way'));
  symlinkSync(join('..', 'link2'), join(folder, 'other', 'link'));
  symlinkSync(target, join(folder, 'link2'));
  for (const text of ['to nothing', 'to a file']) {
    await replaceFile(join(folder, 'way', 'link'), [Buffer.from(text)]);
    assert.equal(readFileSync(target, 'utf8'), text);
  }
  assert.deepEqual(readdirSync(folder).sort(), ['link2', 'other', 'way']);
  assert.deepEqual(readdirSync(join(folder, 'other')), ['link', 'target']);
  assert.ok(lstatSync(join(folder, 'other', 'link')).isSymbolicLink());
  symlinkSync('loop', join(folder, 'loop'));
  await assert.rejects(
    replaceFile(join(folder, 'loop'), []),
    isUserError(/loop: cannot be written \(ELOOP\)/),
  );
});

test('what is no file is not replaced by one', { skip: isWindows }, async (t) => {
  const folder = temporaryFolder(t);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  symlinkSync(pipe, join(folder, 'link'));
  // No device of the machine: a failing test would replace it.
  for (const path of [pipe, join(folder, 'link')])
    await assert.rejects(replaceFile(path, []), isUserError(/is a named pipe, expected a file/));
  assert.deepEqual(readdirSync(folder).sort(), ['link', 'pipe']);
  assert.ok(lstatSync(pipe).isFIFO());
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
