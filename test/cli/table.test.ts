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

test('in a terminal the widest texts give way, numbers and words do not', () => {
  const header = ['name', 'what it is', 'images', 'why'];
  const rows = [
    ['onnx', 'the whole step as one graph', 1234, 'it is there'],
    ['native', 'kernels', 5, 'it has to be compiled by somebody'],
  ];
  const narrow = formatTable(header, rows, 48);
  assert.equal(
    narrow,
    [
      'name    what it is       images  why',
      '------  ---------------  ------  ---------------',
      'onnx    the whole step     1234  it is there',
      '        as one graph',
      'native  kernels               5  it has to be',
      '                                 compiled by',
      '                                 somebody',
      '',
    ].join('\n'),
  );
  for (const line of narrow.split('\n')) assert.ok(line.length <= 48, line);
  assert.equal(formatTable(header, rows, 200), formatTable(header, rows));
});

test('where words and numbers alone are too wide, they stay whole', () => {
  const table = formatTable(['folder', 'share'], [['results/runs/a-long-name', '12.5 %']], 10);
  assert.equal(table, formatTable(['folder', 'share'], [['results/runs/a-long-name', '12.5 %']]));
});

test('a table without rows is its header', () => {
  assert.equal(formatTable(['a', 'bc'], []), 'a  bc\n-  --\n');
});
