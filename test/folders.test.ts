import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
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
});
