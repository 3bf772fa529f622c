import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCell, tableToCsv, tableToMarkdown } from '../../src/report/table.js';

test('cells: four significant digits, thousands separators, dashes', () => {
  const cases: [string | number | null, string][] = [
    [null, '–'],
    ['text', 'text'],
    [0, '0'],
    [30.1672, '30.17'],
    [0.00042, '4.20e-4'],
    [12_345.6, '12,346'],
    [10_326, '10,326'],
    [-1.06, '-1.06'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
  ];
  for (const [cell, text] of cases) assert.equal(formatCell(cell), text);
});

const table = {
  id: 'x',
  title: 'Energy (J)',
  header: ['task', 'a|b'],
  rows: [
    ['cubs, "2010"', 1.23456789],
    ['cars', null],
  ],
  notes: ['A note.'],
};

test('CSV keeps full precision, quotes what needs it, leaves missing values empty', () => {
  assert.equal(tableToCsv(table), 'task,a|b\r\n"cubs, ""2010""",1.23456789\r\ncars,\r\n');
});

test('Markdown aligns numbers right and escapes bars', () => {
  const lines = tableToMarkdown(table).split('\n');
  assert.equal(lines[0], '### Energy (J)');
  assert.equal(lines[2], '| task | a\\|b |');
  assert.equal(lines[3], '| --- | ---: |');
  assert.equal(lines[4], '| cubs, "2010" | 1.235 |');
  assert.ok(lines.includes('A note.'));
});
