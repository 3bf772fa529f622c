import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { UserError } from '../src/errors.js';
import { makeFolder } from '../src/folders.js';

const root = mkdtempSync(join(tmpdir(), 'xbm-folders-'));
after(() => rmSync(root, { recursive: true, force: true }));

describe('makeFolder', () => {
  test('creates all folders on the way, and again without complaint', () => {
    const path = join(root, 'a', 'b', 'c');
    makeFolder(path);
    makeFolder(path);
    assert.ok(statSync(path).isDirectory());
  });

  test('a file on the way, or in its place, is named', () => {
    const file = join(root, 'file');
    writeFileSync(file, '');
    for (const path of [join(file, 'x', 'y'), file])
      assert.throws(
        () => makeFolder(path),
        (error) =>
          error instanceof UserError && error.message.includes(`${file}`) && /is a file/.test(error.message),
      );
  });

  test('gives the topmost that was missing', () => {
    assert.equal(makeFolder(join(root, 'p', 'q', 'r')), join(root, 'p'));
    assert.equal(makeFolder(join(root, 'p', 'q', 's')), join(root, 'p', 'q', 's'));
    assert.equal(makeFolder(join(root, 'p', 'q')), undefined);
  });

  test('a link to nothing is named', () => {
    symlinkSync(join(root, 'gone'), join(root, 'link'));
    assert.throws(() => makeFolder(join(root, 'link', 'x')), {
      message: `${join(root, 'link', 'x')}: cannot be created: ${join(root, 'link')}: is a link to something that does not exist`,
    });
  });

  test('a file system that takes no folders is an answer, not an endless loop', {
    skip: process.platform === 'linux' ? false : 'only Linux has /proc',
  }, () => {
    assert.throws(
      () => makeFolder('/proc/xbm/run'),
      (error) =>
        error instanceof UserError &&
        error.message.startsWith('/proc/xbm/run: cannot be created: /proc/xbm: '),
    );
  });
});
