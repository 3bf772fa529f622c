import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MetricsLog } from '../../src/runs/metricsLog.js';
import { runWithFileLimit } from './fileLimit.js';
import { temporaryFolder } from './fixtures.js';

test('records follow each other; opened again, the log is cut to a length', (t) => {
  const file = join(temporaryFolder(t), 'metrics.jsonl');
  const first = new MetricsLog(file, 0);
  first.append({ step: 1 });
  const { bytes } = first;
  first.append({ step: 2 });
  first.close();
  const second = new MetricsLog(file, bytes);
  second.append({ step: 'ä' });
  assert.equal(second.bytes, readFileSync(file).length);
  second.close();
  assert.equal(readFileSync(file, 'utf8'), '{"step":1}\n{"step":"ä"}\n');
});

test('a record that fits on the disk only in part is an error', async (t) => {
  const file = join(temporaryFolder(t), 'metrics.jsonl');
  const stderr = await runWithFileLimit(
    'src/runs/metricsLog.js',
    `new MetricsLog(${JSON.stringify(file)}, 0).append({ text: 'x'.repeat(100_000) })`,
  );
  assert.match(stderr, /EFBIG/);
  assert.match(stderr, /path: '.*metrics.jsonl'/);
});
