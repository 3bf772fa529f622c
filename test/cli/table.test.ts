import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTable } from '../../src/cli/table.js';

test('text is left-aligned, numbers right-aligned, nothing trails', () => {
  const table = formatTable(
    ['task', 'accuracy', 'note'],
    [
      ['flowers', '87.95', ''],
      ['µ', 9, 'short'],
      ['cubs', null, 'not run'],
    ],
  );
  assert.equal(
    table,
    [
      'task     accuracy  note',
      '-------  --------  -------',
      'flowers     87.95',
      'µ               9  short',
      'cubs            –  not run',
      '',
    ].join('\n'),
  );
});

test('a table without rows is its header', () => {
  assert.equal(formatTable(['a', 'bc'], []), 'a  bc\n-  --\n');
});
