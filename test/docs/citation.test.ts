import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { packageRoot } from '../../src/paths.js';

test('CITATION.cff: the keys that its format requires, the version and licence of the package', () => {
  const read = (name: string) => readFileSync(join(packageRoot(), name), 'utf8');
  const citation = parse(read('CITATION.cff'));
  const { version, license } = JSON.parse(read('package.json'));
  for (const key of ['cff-version', 'message', 'title', 'authors']) assert.ok(citation[key], key);
  assert.deepEqual([citation.version, citation.license], [version, license]);
  for (const { type, title, authors } of citation.references)
    assert.ok(type && title && authors.length > 0, title);
});
