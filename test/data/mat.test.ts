import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readMatFile } from '../../src/data/mat.js';
import { UserError } from '../../src/errors.js';
import { temporaryFolder } from './images.js';
import { matFile } from './matWriter.js';

describe('readMatFile', () => {
  for (const compress of [false, true]) {
    test(`numbers, text, cells and structs, ${compress ? 'compressed' : 'plain'}`, (t) => {
      const file = join(temporaryFolder(t), 'a.mat');
      const people = [
        { age: [41], name: 'Ada' },
        { age: [7, 8], name: 'B' },
      ];
      writeFileSync(file, matFile({ n: [1, 2.5, -3], s: 'héllo', c: ['x', [4]], people }, compress));
      const variables = readMatFile(file);
      assert.deepEqual([...variables.keys()], ['n', 's', 'c', 'people']);
      const numbers = (...values: number[]) => ({
        kind: 'numbers',
        dimensions: [1, values.length],
        values: Float64Array.from(values),
      });
      const text = (value: string) => ({ kind: 'text', text: value });
      assert.deepEqual(variables.get('n'), numbers(1, 2.5, -3));
      assert.deepEqual(variables.get('s'), text('héllo'));
      assert.deepEqual(variables.get('c'), { kind: 'cells', cells: [text('x'), numbers(4)] });
      assert.deepEqual(variables.get('people'), {
        kind: 'structs',
        structs: [
          { age: numbers(41), name: text('Ada') },
          { age: numbers(7, 8), name: text('B') },
        ],
      });
    });
  }

  test('refuses every truncation of the last variable, and other files', (t) => {
    const file = join(temporaryFolder(t), 'a.mat');
    const bytes = matFile({ n: [1, 2, 3] }, false);
    for (let length = 137; length < bytes.length; length += 5) {
      writeFileSync(file, bytes.subarray(0, length));
      assert.throws(() => readMatFile(file), UserError, `${length} bytes`);
    }
    for (const text of ['', 'short', 'x'.repeat(500), 'MATLAB 7.3 MAT-file'.padEnd(600)]) {
      writeFileSync(file, text);
      assert.throws(() => readMatFile(file), /a\.mat is not a readable MATLAB level 5 MAT-file/);
    }
  });
});
