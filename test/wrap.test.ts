import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wrap } from '../src/wrap.js';

test('lines break at spaces; a word that is too long has a line of its own', () => {
  assert.deepEqual(wrap('ab cd ef', 5), ['ab cd', 'ef']);
  assert.deepEqual(wrap('a abcdefgh b', 4), ['a', 'abcdefgh', 'b']);
});
