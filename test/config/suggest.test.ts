import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { closest, levenshtein } from '../../src/config/suggest.js';

test('levenshtein distances known from textbooks', () => {
  assert.equal(levenshtein('kitten', 'sitting'), 3);
  assert.equal(levenshtein('saturday', 'sunday'), 3);
  assert.equal(levenshtein('', 'abc'), 3);
});

test('levenshtein is a metric', () => {
  const word = fc.string({ maxLength: 8, unit: fc.constantFrom('a', 'b', 'c') });
  fc.assert(
    fc.property(word, word, word, (a, b, c) => {
      assert.equal(levenshtein(a, b), levenshtein(b, a));
      assert.equal(levenshtein(a, b) === 0, a === b);
      assert.ok(levenshtein(a, c) <= levenshtein(a, b) + levenshtein(b, c));
    }),
  );
});

test('closest suggests what is near and nothing else', () => {
  assert.equal(closest('epoch', ['epochs', 'seed']), 'epochs');
  assert.equal(closest('BATCHSIZE', ['batchSize']), 'batchSize');
  assert.equal(closest('colour', ['epochs', 'seed']), undefined);
  assert.equal(closest('x', []), undefined);
});
