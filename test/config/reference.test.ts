import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeKeys } from '../../src/config/describe.js';
import { configReference } from '../../src/config/reference.js';
import { packageRoot } from '../../src/paths.js';

test('every key has a meaning, and every null is explained', () => {
  for (const { key, about, whenNull, expected } of describeKeys()) {
    assert.ok(about, `${key} has no meaning`);
    assert.equal(whenNull !== undefined, expected.endsWith('or null'), key);
  }
});

test('docs/config.md is current', () => {
  const text = readFileSync(join(packageRoot(), 'docs', 'config.md'), 'utf8');
  assert.equal(text, configReference(), 'run: npm run build && node scripts/config-reference.mjs');
});
