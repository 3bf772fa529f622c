import assert from 'node:assert/strict';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { xbmHome } from '../src/paths.js';

test('an empty XBM_HOME is none', (t) => {
  const before = process.env.XBM_HOME;
  t.after(() => {
    if (before === undefined) delete process.env.XBM_HOME;
    else process.env.XBM_HOME = before;
  });
  process.env.XBM_HOME = '/somewhere';
  assert.equal(xbmHome(), '/somewhere');
  process.env.XBM_HOME = '';
  assert.equal(xbmHome(), join(homedir(), '.xbm'));
});
